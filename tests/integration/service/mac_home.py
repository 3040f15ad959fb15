"""A user's home on a fake Mac, and launchctl's target for its service."""

from __future__ import annotations

import json
import plistlib
from pathlib import Path
from typing import Any

from tests.fakes import mac as fake_mac
from tests.integration.conftest import Home

TARGET = "gui/501/local.ocrd"
PRINT = f"print {TARGET}"
BOOTOUT = f"bootout {TARGET}"
ENABLE = f"enable {TARGET}"
KICKSTART = f"kickstart {TARGET}"
KICKSTART_K = f"kickstart -k {TARGET}"
# What `ocrd uninstall` keeps, and the program that is not part of an installation.
_KEPT = (".local", "Library/Application Support", "Library/Logs")


class MacHome(Home):
    """A home on a machine that claims to be a Mac, with a fake launchd that runs the service."""

    def __init__(self, home: Path) -> None:
        home.mkdir()
        self.folder = home.parent / "mac"
        program = fake_mac.install(self.folder, home)
        super().__init__(home, program, FAKE_MAC=str(self.folder))
        self.plist = home / "Library/LaunchAgents/local.ocrd.plist"
        self.quick_action = home / "Library/Services/OCR with ocrd.workflow"
        self.bootstrap = f"bootstrap gui/501 {self.plist}"

    def install(self) -> str:
        """Install the service; the pocket model runs on the CPU on every machine."""
        self.call("init", "--pocket")
        self.config.write_text(self.config.read_text() + '\n[engine]\ndevice = "cpu"\n')
        output = self.call("install")
        self.take_calls()
        return output

    def take_calls(self) -> list[str]:
        """Return the calls of launchctl since the last time, as lines."""
        calls = [" ".join(call) for call in fake_mac.launchctl_calls(self.folder)]
        (self.folder / "launchd/calls").unlink(missing_ok=True)
        return calls

    def exit_codes(self) -> list[int]:
        """Return how the daemon's processes ended; a negative code is a signal."""
        path = self.folder / "launchd/history"
        lines = path.read_text().splitlines() if path.exists() else []
        entries: list[dict[str, Any]] = [json.loads(line) for line in lines]
        return [entry["code"] for entry in entries if entry["event"] == "exited"]

    def write_script(self, **script: Any) -> None:
        """Set how launchd behaves, see `tests.fakes.launchd`."""
        fake_mac.write_script(self.folder, **script)

    def shorten_start_timeouts(self) -> None:
        """Let a start that fails be reported soon."""
        (self.folder / fake_mac.IMPATIENT).touch()

    def edit_plist(self, **keys: Any) -> None:
        """Change keys of the service's file, as a user might."""
        plist = plistlib.loads(self.plist.read_bytes())
        self.plist.write_bytes(plistlib.dumps(plist | keys))

    def contents(self) -> dict[str, bytes | None]:
        """Every file's bytes and None for every folder, without what an uninstallation keeps."""
        kept = [self.home / name for name in _KEPT]
        found: dict[str, bytes | None] = {}
        for path in sorted(self.home.rglob("*")):
            if not any(path.is_relative_to(folder) for folder in kept):
                name = str(path.relative_to(self.home))
                found[name] = path.read_bytes() if path.is_file() else None
        return found
