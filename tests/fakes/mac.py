"""The ``ocrd`` command on a machine that claims to be a Mac.

The Mac's programs are in the folder ``FAKE_MAC``. launchctl is `tests.fakes.launchd`, which really
starts the daemon; the others only record how they were called.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from ocrd import system_commands
from ocrd.service import launchd
from tests.fakes.launchd.install import install as install_launchctl
from tests.fork_server.client import SERVERS, use_forked_workers

USER_ID = 501
RECORDED_PROGRAMS = ("osascript", "caffeinate", "pbs")
# A file of this name in the folder shortens the time limits of a start that fails.
IMPATIENT = "impatient"


def install(folder: Path, home: Path) -> Path:
    """Create the Mac's programs in ``folder``, and ``ocrd`` in ``home`` where pipx would.

    Returns:
        The path of ``ocrd``.
    """
    folder.mkdir()
    install_launchctl(folder)
    names = ("FAKE_MAC", "PYTHONPATH", "OMP_NUM_THREADS", "FAKE_GPU", "HF_ENDPOINT", SERVERS)
    (folder / "launchd/pass_environment").write_text("\n".join(names))
    for name in RECORDED_PROGRAMS:
        stays = "import time; time.sleep(600)" if name == "caffeinate" else ""
        _write_executable(
            folder / name,
            f"import json, sys\nwith open({str(folder / 'recorded')!r}, 'a') as file:\n"
            f"    print(json.dumps([{name!r}, *sys.argv[1:]]), file=file)\n{stays}\n",
        )
    program = home / ".local/bin/ocrd"
    program.parent.mkdir(parents=True)
    _write_executable(program, "from tests.fakes.mac import main\nmain()\n")
    return program


def recorded_calls(folder: Path, program: str) -> list[list[str]]:
    """The arguments of each call of one of `RECORDED_PROGRAMS`."""
    file = folder / "recorded"
    lines = file.read_text().splitlines() if file.exists() else []
    calls: list[list[str]] = [json.loads(line) for line in lines]
    return [arguments for name, *arguments in calls if name == program]


def launchctl_calls(folder: Path) -> list[list[str]]:
    """The arguments of each call of launchctl."""
    file = folder / "launchd/calls"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def write_script(folder: Path, **script: Any) -> None:
    """Tell launchd what to do, see `tests.fakes.launchd`."""
    (folder / "launchd/script.json").write_text(json.dumps(script))


def main() -> None:
    """Run ``ocrd``."""
    _become_a_mac(Path(os.environ["FAKE_MAC"]))
    use_forked_workers()
    from ocrd.__main__ import main as ocrd

    ocrd()


def _become_a_mac(folder: Path) -> None:
    system_commands._ON_MACOS = True
    system_commands.user_id = lambda: USER_ID
    programs = ("launchctl", *RECORDED_PROGRAMS)
    system_commands.PROGRAMS.update({name: str(folder / name) for name in programs})
    if (folder / IMPATIENT).exists():
        launchd.BOOTSTRAP_START_TIMEOUT_S = 1.0
        launchd.KICKSTART_START_TIMEOUT_S = 2.0


def _write_executable(path: Path, code: str) -> None:
    path.write_text(f"#!{sys.executable}\n{code}")
    path.chmod(0o755)


if __name__ == "__main__":
    main()
