"""A fake of ``systemctl --user`` that starts, stops and describes one unit with real processes.

It runs as a program with its state in the folder ``FAKE_SYSTEMD``. There, ``calls`` has one JSON
list for each call. With a file ``no_bus`` there is no session.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

STOP_TIMEOUT_S = 20.0
NO_BUS = "Failed to connect to user scope bus via local transport: $DBUS_SESSION_BUS_ADDRESS"
# Variables of the caller that the unit's process inherits.
PASSED_VARIABLES = (
    "HOME",
    "PYTHONPATH",
    "OMP_NUM_THREADS",
    "FAKE_SYSTEMD",
    "OCRD_TEST_FORK_SERVERS",
)


def install(folder: Path) -> Path:
    """Create the program ``systemctl`` in ``folder``.

    Returns:
        Its path.
    """
    folder.mkdir(exist_ok=True)
    program = folder / "systemctl"
    program.write_text(
        f"#!{sys.executable}\nimport runpy\nrunpy.run_path({__file__!r}, run_name='__main__')\n"
    )
    program.chmod(0o755)
    return program


def main() -> int:
    """Run the call in ``sys.argv``.

    Returns:
        The exit code.
    """
    folder = Path(os.environ["FAKE_SYSTEMD"])
    user, verb, *arguments = sys.argv[1:]
    with (folder / "calls").open("a") as calls:
        print(json.dumps(sys.argv[1:]), file=calls)
    assert user == "--user"
    if (folder / "no_bus").exists():
        print(NO_BUS, file=sys.stderr)
        return 1
    unit = Path(os.environ["HOME"]) / ".config/systemd/user" / (arguments[0] if arguments else "-")
    match verb:
        case "enable" | "disable":
            return _set_enabled(folder, unit, verb=verb)
        case "is-active":
            is_active = _running_pid(folder) is not None
            print("active" if is_active else "inactive")
            return 0 if is_active else 3
        case "is-enabled":
            print("enabled" if (folder / "enabled").exists() else "disabled")
        case "daemon-reload":
            (folder / "loaded").unlink(missing_ok=True)
        case "stop":
            return _stop(folder)
        case "start" | "restart":
            if verb == "restart" and _stop(folder) != 0:
                return 1
            if _running_pid(folder) is None:
                _start(folder, unit)
    return 0


def _set_enabled(folder: Path, unit: Path, *, verb: str) -> int:
    if not unit.exists():
        print(f"Failed to {verb} unit: Unit {unit.name} does not exist", file=sys.stderr)
        return 1
    if verb == "enable":
        (folder / "enabled").touch()
    else:
        (folder / "enabled").unlink(missing_ok=True)
    return 0


def _stop(folder: Path) -> int:
    pid = _running_pid(folder)
    if pid is None:
        return 0
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while _running_pid(folder) is not None:
        if time.monotonic() > deadline:
            return 1
        time.sleep(0.05)
    return 0


def _start(folder: Path, unit: Path) -> None:
    """Start the unit as it was at the last ``daemon-reload``."""
    loaded = folder / "loaded"
    if not loaded.exists():
        loaded.write_bytes(unit.read_bytes())
    text = loaded.read_text()
    argv = [word.replace("$$", "$") for word in _words(text, "ExecStart")]
    environment = dict(word.split("=", 1) for word in _words(text, "Environment"))
    passed = {name: os.environ[name] for name in PASSED_VARIABLES if name in os.environ}
    with (folder / "journal").open("ab") as log:
        process = subprocess.Popen(
            argv,
            env={**passed, "PATH": "/usr/bin:/bin", "INVOCATION_ID": "1", **environment},
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    (folder / "pid").write_text(str(process.pid))


def _words(unit: str, key: str) -> Iterator[str]:
    """The words of a key's values. systemd quotes them nearly as a shell does."""
    for line in unit.splitlines():
        name, _, value = line.partition("=")
        if name == key:
            yield from (word.replace("%%", "%") for word in shlex.split(value))


def _running_pid(folder: Path) -> int | None:
    try:
        pid = int((folder / "pid").read_text())
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, ValueError):
        return None
    return None if state == "Z" else pid


if __name__ == "__main__":
    raise SystemExit(main())
