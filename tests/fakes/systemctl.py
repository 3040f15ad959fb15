"""``systemctl --user`` for machines without a session.

Enough of it to start, stop and ask after one unit, for real.

Run as a program with the state's folder in ``FAKE_SYSTEMD``; ``calls`` there gets a JSON list for
each call. With a file ``no_bus`` there is no session.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

STOPPING = 20.0


def place(folder: Path) -> Path:
    """Write the program; its path."""
    folder.mkdir(exist_ok=True)
    program = folder / "systemctl"
    program.write_text(
        f"#!{sys.executable}\nimport runpy\nrunpy.run_path({__file__!r}, run_name='__main__')\n"
    )
    program.chmod(0o755)
    return program


def main() -> int:  # noqa: PLR0911 - an answer for each verb
    folder = Path(os.environ["FAKE_SYSTEMD"])
    user, verb, *arguments = sys.argv[1:]
    with (folder / "calls").open("a") as calls:
        print(json.dumps(sys.argv[1:]), file=calls)
    assert user == "--user"
    if (folder / "no_bus").exists():
        print(
            "Failed to connect to user scope bus via local transport: $DBUS_SESSION_BUS_ADDRESS",
            file=sys.stderr,
        )
        return 1
    unit = Path(os.environ["HOME"]) / ".config/systemd/user" / (arguments[0] if arguments else "-")
    pid = _pid(folder)
    if verb in ("show-environment", "daemon-reload", "reset-failed"):
        if verb == "daemon-reload":
            (folder / "known").unlink(missing_ok=True)
        return 0
    if verb in ("enable", "disable"):
        if not unit.exists():
            print(f"Failed to {verb} unit: Unit {unit.name} does not exist", file=sys.stderr)
            return 1
        (folder / "enabled").touch() if verb == "enable" else (folder / "enabled").unlink(
            missing_ok=True
        )
        return 0
    if verb == "is-active":
        print("active" if pid else "inactive")
        return 0 if pid else 3
    if verb == "is-enabled":
        print("enabled" if (folder / "enabled").exists() else "disabled")
        return 0
    if verb in ("stop", "restart") and pid:
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + STOPPING
        while _pid(folder):
            if time.monotonic() > deadline:
                return 1
            time.sleep(0.05)
    if verb in ("start", "restart") and not _pid(folder):
        _start(folder, unit)
    return 0


def _start(folder: Path, unit: Path) -> None:
    """As the unit was at the last ``daemon-reload``."""
    known = folder / "known"
    if not known.exists():
        known.write_bytes(unit.read_bytes())
    # systemd's quoting is near enough to a shell's for what is asked of it here.
    values = [
        line.partition("=")
        for line in known.read_text().splitlines()
        if "=" in line and line[0] != "#"
    ]
    argv = [
        w.replace("$$", "$").replace("%%", "%")
        for k, _, v in values
        if k == "ExecStart"
        for w in shlex.split(v)
    ]
    variables = [
        w.replace("%%", "%") for k, _, v in values if k == "Environment" for w in shlex.split(v)
    ]
    environment = dict(variable.split("=", 1) for variable in variables)
    kept = {
        k: os.environ[k]
        for k in (
            *("HOME", "PYTHONPATH", "OMP_NUM_THREADS", "FAKE_SYSTEMD"),
            "OCRD_TEST_FORK_SERVERS",
        )
        if k in os.environ
    }
    with (folder / "journal").open("ab") as log:
        process = subprocess.Popen(
            argv, env={**kept, "PATH": "/usr/bin:/bin", "INVOCATION_ID": "1", **environment}, stdout=log, stderr=log,
            stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    (folder / "pid").write_text(str(process.pid))


def _pid(folder: Path) -> int | None:
    try:
        pid = int((folder / "pid").read_text())
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, ValueError):
        return None
    return None if state == "Z" else pid


if __name__ == "__main__":
    raise SystemExit(main())
