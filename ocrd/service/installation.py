"""What is installed where: the same for installing, removing and starting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import ocrd
from ocrd import paths
from ocrd.errors import ServiceError
from ocrd.files import next_free_path
from ocrd.service import templates
from ocrd.service.install_record import FILE, Record, read_record
from ocrd.service.manager import Daemon, Manager

# Put behind the name of a file that was set aside: launchd takes up ``*.plist`` alone.
EDITED = ".edited"


@dataclass(frozen=True)
class Installation:
    """Where everything goes, and with what in it."""

    config: Path
    state: Path
    facts: templates.Facts
    manager: Manager
    # The bundle's folder; None where there is no Finder.
    quick_action: Path | None
    dry_run: bool = False

    def files(self) -> Mapping[Path, bytes]:
        """All but the service's own, which comes last."""
        if self.quick_action is None:
            return {}
        contents = templates.quick_action(self.facts)
        return {self.quick_action / "Contents" / name: data for name, data in contents.items()}

    def service_file(self) -> bytes:
        return (
            templates.unit(self.facts)
            if self.manager.name == "systemd"
            else templates.agent(self.facts)
        )


def record_of(order: Installation) -> Record:
    """What an installation made so far. A dry run makes nothing, not even the folder for it."""
    if order.dry_run and not order.state.is_dir():
        return Record(order.state / FILE)
    return read_record(order.state)


def refuse_by_hand(daemon: Daemon) -> None:
    """Raises ServiceError when a daemon runs that no service manager started.

    Two cannot run on one state folder.
    """
    if daemon.running() and (fact := daemon.fact()).get("by") is None and fact:
        raise ServiceError(
            f"an ocrd that was started by hand runs (pid {fact.get('pid')}); end it, then: ocrd start"
        )


def note_loaded(state: Path, sha256: str) -> None:
    """Remember which file the manager knows now."""
    record = read_record(state)
    record.loaded = sha256
    record.version = ocrd.__version__
    record.save()


def set_aside(path: Path) -> Path:
    """Give what somebody else put in our place another name.

    That. Raises ServiceError when it cannot be moved.
    """
    aside = next_free_path(path.with_name(path.name + EDITED))
    try:
        path.rename(aside)
    except OSError as error:
        raise ServiceError(
            f"{path}: is not as ocrd wrote it, and cannot be moved ({error.strerror})"
        ) from error
    return aside


def log_file() -> Path:
    """What the service prints before logging begins."""
    return paths.log_dir() / "launchd.log"
