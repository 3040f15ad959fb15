"""Measure the commands that people and Hazel wait for, and what an idle daemon costs.

    python -m bench.commands [--idle 120]

Each line is the median of several new processes. The daemon is the real one, with the pocket model
and a temporary folder. A bare interpreter is measured for comparison. The wake-ups of the idle
daemon are counted on Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil
import tomli_w

from ocrd import paths

RUNS = 15
# Seconds that the daemon may take to settle before its wake-ups are counted.
SETTLE_S = 10.0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--idle", type=float, default=120.0, help="seconds for which the idle daemon is watched"
    )
    idle_s = parser.parse_args().idle
    ocrd = str(Path(sys.executable).with_name("ocrd"))
    with tempfile.TemporaryDirectory(prefix="ocrd-bench-") as folder:
        home = Path(folder)
        environment = configure(home)
        picture = Path(shutil.copyfile(paths.POCKET_MODEL / "demo/greeting.png", home / "a.png"))
        commands = {
            "ocrd submit FILE": [ocrd, "submit", "--", str(picture)],
            "ocrd status": [ocrd, "status"],
        }
        report("python -c pass", [sys.executable, "-c", "pass"], environment=environment)
        report("ocrd --help", [ocrd, "--help"], environment=environment)
        for name, argv in commands.items():
            report(f"{name}, no daemon", argv, environment=environment)
        with running_daemon([ocrd, "run"], environment, log=home / "log") as daemon:
            sidecar = picture.with_name("a.png.json")
            while engine_state(environment) != "ready" or not sidecar.exists():
                time.sleep(0.5)
            for name, argv in commands.items():
                report(f"{name}, daemon running", argv, environment=environment)
            watch_idle(psutil.Process(daemon.pid), idle_s)


def configure(home: Path) -> dict[str, str]:
    """Write a configuration with one inbox, and return the environment that uses it."""
    inbox = home / "inbox"
    inbox.mkdir()
    config = home / "config.toml"
    tables = {
        "model": {"path": "pocket"},
        "engine": {"device": "cpu"},
        "inbox": [{"path": str(inbox)}],
    }
    config.write_text(tomli_w.dumps(tables))
    return {**os.environ, "OCRD_STATE_DIR": str(home / "state"), "OCRD_CONFIG": str(config)}


def report(name: str, argv: Sequence[str], *, environment: dict[str, str]) -> None:
    """Print the median time of a command."""
    times_s = []
    for _ in range(RUNS):
        started = time.perf_counter()
        subprocess.run(
            argv, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True
        )
        times_s.append(time.perf_counter() - started)
    print(f"{name:<34}{statistics.median(times_s):6.3f} s", flush=True)


@contextmanager
def running_daemon(
    argv: Sequence[str], environment: dict[str, str], *, log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run the daemon, then stop it with SIGTERM and print how long that took."""
    with log.open("wb") as file:
        daemon = subprocess.Popen(argv, env=environment, stderr=file)
        try:
            yield daemon
        finally:
            daemon.terminate()
            started = time.perf_counter()
            code = daemon.wait()
            seconds = time.perf_counter() - started
            print(f"from SIGTERM to exit: {seconds:.2f} s, exit code {code}")


def engine_state(environment: dict[str, str]) -> str | None:
    """The engine's state in ``ocrd status``; None while there is no engine."""
    argv = [sys.executable, "-m", "ocrd", "status", "--json"]
    output = subprocess.run(argv, env=environment, capture_output=True, check=True).stdout
    engine = json.loads(output)["engine"]
    return str(engine["state"]) if engine else None


def watch_idle(daemon: psutil.Process, idle_s: float) -> None:
    """Print the memory and the wake-ups of the daemon and its worker while they are idle."""
    time.sleep(SETTLE_S)
    (worker,) = daemon.children()
    before = {process.pid: count_wake_ups(process) for process in (daemon, worker)}
    started = time.monotonic()
    time.sleep(idle_s)
    for name, process in (("daemon", daemon), ("worker", worker)):
        minutes = (time.monotonic() - started) / 60
        rate = (count_wake_ups(process) - before[process.pid]) / minutes
        megabytes = process.memory_info().rss / 1e6
        print(f"idle {name}: {megabytes:.0f} MB, {rate:.1f} wake-ups a minute", flush=True)


def count_wake_ups(process: psutil.Process) -> int:
    """How often its threads gave up the processor; each time something had woken one before."""
    total = 0
    for thread in process.threads():
        status = Path(f"/proc/{process.pid}/task/{thread.id}/status").read_text()
        total += int(status.split("\nvoluntary_ctxt_switches:")[1].split()[0])
    return total


if __name__ == "__main__":
    main()
