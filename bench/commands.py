"""How long the commands take that people and Hazel wait for, beside a bare interpreter.

And what an idle daemon costs.

    python -m bench.commands [--idle 120]

One run, one machine: every line is the median of several processes, each started anew. The daemon
is the real one with the pocket model on a temporary folder.
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
from collections.abc import Sequence
from pathlib import Path

import psutil
import tomli_w

from ocrd import paths

MATMULS = 15


def seconds(argv: Sequence[str], environment: dict[str, str]) -> float:
    taken = []
    for _ in range(MATMULS):
        started = time.perf_counter()
        subprocess.run(
            argv, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True
        )
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def state(environment: dict[str, str]) -> str | None:
    argv = [sys.executable, "-m", "ocrd", "status", "--json"]
    said = json.loads(subprocess.run(argv, env=environment, capture_output=True, check=True).stdout)
    return str(said["engine"]["state"]) if said["engine"] else None


def wake_ups(process: psutil.Process) -> int:
    """How often its threads gave up the processor by themselves.

    Each time somebody had to wake one before.
    """
    total = 0
    for thread in process.threads():
        status = Path(f"/proc/{process.pid}/task/{thread.id}/status").read_text()
        total += int(status.split("\nvoluntary_ctxt_switches:")[1].split()[0])
    return total


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument(
        "--idle", type=float, default=120.0, help="seconds in which an idle daemon is watched"
    )
    idle = options.parse_args().idle
    ocrd = str(Path(sys.executable).with_name("ocrd"))
    with tempfile.TemporaryDirectory(prefix="ocrd-bench-") as folder:
        home = Path(folder)
        (home / "inbox").mkdir()
        config = home / "config.toml"
        tables = {
            "model": {"path": "pocket"},
            "engine": {"device": "cpu"},
            "inbox": [{"path": str(home / "inbox")}],
        }
        config.write_text(tomli_w.dumps(tables))
        environment = {
            **os.environ,
            "OCRD_STATE_DIR": str(home / "state"),
            "OCRD_CONFIG": str(config),
        }
        picture = Path(shutil.copyfile(paths.POCKET_MODEL / "demo/greeting.png", home / "a.png"))
        lines = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "ocrd --help": [ocrd, "--help"],
            "ocrd submit FILE, no daemon": [ocrd, "submit", "--", str(picture)],
            "ocrd status, no daemon": [ocrd, "status"],
        }
        for name, argv in lines.items():
            print(f"{name:<32}{seconds(argv, environment):6.3f} s", flush=True)
        log = (home / "log").open("wb")
        daemon = subprocess.Popen([ocrd, "run"], env=environment, stderr=log)
        try:
            while state(environment) != "ready" or not picture.with_name("a.png.json").exists():
                time.sleep(0.5)
            for name, argv in list(lines.items())[2:]:
                line = name.replace("no daemon", "daemon up")
                print(f"{line:<32}{seconds(argv, environment):6.3f} s", flush=True)
            time.sleep(10)
            parent = psutil.Process(daemon.pid)
            (worker,) = parent.children()
            before = {p.pid: wake_ups(p) for p in (parent, worker)}
            at = time.monotonic()
            time.sleep(idle)
            for name, process in (("daemon", parent), ("worker", worker)):
                rate = (wake_ups(process) - before[process.pid]) / (time.monotonic() - at) * 60
                size = process.memory_info().rss / 1e6
                print(f"idle {name}: {size:.0f} MB, {rate:.1f} wake-ups a minute", flush=True)
        finally:
            daemon.terminate()
            started = time.perf_counter()
            code = daemon.wait()
            print(f"SIGTERM to its end: {time.perf_counter() - started:.2f} s, exit code {code}")
            log.close()


if __name__ == "__main__":
    main()
