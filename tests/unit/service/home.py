"""A user's home folder with a service manager that only remembers what it loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from ocrd import paths, system_commands
from ocrd.service.daemon_probe import DaemonProbe
from ocrd.service.install import install
from ocrd.service.installation import Installation
from ocrd.service.service_manager import ServiceState
from ocrd.service.templates import TemplateContext
from ocrd.service.uninstall import uninstall
from ocrd.status import DaemonStatus


class FakeManager:
    """launchd without a daemon; implements `ServiceManager`."""

    def __init__(self, file: Path) -> None:
        self.name = "launchd"
        self.file = file
        # How often the service was loaded, and the content of the file that is loaded now.
        self.loads = 0
        self.loaded: bytes | None = None

    def check_available(self) -> None:
        pass

    def load(self) -> None:
        self.loads += 1
        self.loaded = self.file.read_bytes()

    def start(self) -> None:
        self.load()

    def restart(self, *, file_changed: bool) -> None:
        self.load()

    def stop(self) -> bool:
        was_running = self.loaded is not None
        self.loaded = None
        return was_running

    def forget(self) -> None:
        pass

    def state(self) -> ServiceState:
        return ServiceState(
            self.name,
            self.file,
            installed=self.file.exists(),
            loaded=self.loaded is not None,
        )


class Home:
    """A home folder in which a daemon seems to run whenever the service is loaded."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(folder))
        monkeypatch.setenv("OCRD_STATE_DIR", str(folder / "state"))
        monkeypatch.setitem(system_commands.PROGRAMS, "pbs", "/usr/bin/true")
        self.folder = folder
        self.config = folder / "config.toml"
        self.manager = FakeManager(folder / "Library/LaunchAgents/local.ocrd.plist")
        monkeypatch.setattr(DaemonProbe, "is_running", lambda _self: bool(self.manager.loaded))
        monkeypatch.setattr(DaemonProbe, "status", lambda _self: self._daemon_status())
        self.installation = Installation(
            config=self.config,
            state_dir=paths.state_dir(),
            context=TemplateContext(
                program=Path("/bin/ocrd"),
                config=self.config,
                home=folder,
                log=folder / "state/logs/launchd.log",
            ),
            manager=self.manager,
            quick_action=folder / "Library/Services/OCR with ocrd.workflow",
        )

    def _daemon_status(self) -> DaemonStatus | None:
        return DaemonStatus(1, 9e9, "launchd") if self.manager.loaded else None

    def install(self) -> list[str]:
        return list(install(self.installation, pocket=True))

    def uninstall(self) -> list[str]:
        return list(uninstall(self.installation))

    def contents(self) -> dict[str, bytes | None]:
        """Every file's bytes, and None for every folder, outside the state folder."""
        found = {}
        for path in sorted(self.folder.rglob("*")):
            relative = path.relative_to(self.folder)
            if "state" not in relative.parts:
                found[str(relative)] = path.read_bytes() if path.is_file() else None
        return found
