"""``ocrd`` as ever, only that this machine says it is a Mac whose programs lie in the folder
``FAKE_MAC``.

launchctl is `tests.fakes.launchd`, and really starts the daemon; the others write down how they were
called.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from ocrd import system_commands
from ocrd.service import launchd
from tests.fakes import launchd as fake_launchd
from tests.fork_server.client import SERVERS, use_forked_workers

UID = 501
RECORDING = ("osascript", "caffeinate", "pbs")


def pretend(folder: Path) -> None:
    """From now on this process is on that Mac."""
    system_commands._ON_MACOS = True
    system_commands.user_id = lambda: UID
    system_commands.PROGRAMS.update(
        {name: str(folder / name) for name in ("launchctl", *RECORDING)}
    )
    if (folder / "impatient").exists():
        launchd.BOOTSTRAP_START_TIMEOUT_S = 1.0
        launchd.KICKSTART_START_TIMEOUT_S = 2.0


def place(folder: Path, home: Path) -> Path:
    """Put the Mac's programs into ``folder``, and ``ocrd`` where pipx would put it: its path."""
    folder.mkdir()
    launchctl = fake_launchd.place(folder)
    (launchctl.parent / "launchd").mkdir(exist_ok=True)
    names = ("FAKE_MAC", "PYTHONPATH", "OMP_NUM_THREADS", "FAKE_GPU", "HF_ENDPOINT", SERVERS)
    (launchctl.parent / "launchd/pass_environment").write_text("\n".join(names))
    for name in RECORDING:
        stays = "import time; time.sleep(600)" if name == "caffeinate" else ""
        _executable(
            folder / name,
            f"import json, sys\nwith open({str(folder / 'told')!r}, 'a') as file:\n"
            f"    print(json.dumps([{name!r}, *sys.argv[1:]]), file=file)\n{stays}\n",
        )
    program = home / ".local/bin/ocrd"
    program.parent.mkdir(parents=True)
    _executable(program, "from tests.fakes.mac import main\nmain()\n")
    return program


def told(folder: Path, program: str) -> list[list[str]]:
    """How one of the recording programs was called."""
    lines = (folder / "told").read_text().splitlines() if (folder / "told").exists() else []
    calls: list[list[str]] = [json.loads(line) for line in lines]
    return [arguments for name, *arguments in calls if name == program]


def launchctl_calls(folder: Path) -> list[list[str]]:
    path = folder / "launchd/calls"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def script(folder: Path, **settings: Any) -> None:
    """Steer launchd, as `tests.fakes.launchd` says."""
    (folder / "launchd/script.json").write_text(json.dumps(settings))


def _executable(path: Path, code: str) -> None:
    path.write_text(f"#!{sys.executable}\n{code}")
    path.chmod(0o755)


def main() -> None:
    pretend(Path(os.environ["FAKE_MAC"]))
    use_forked_workers()
    from ocrd.__main__ import main as ocrd

    ocrd()


if __name__ == "__main__":
    main()
