"""The service of this machine and user: which manager, which files."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from ocrd import paths, system_commands
from ocrd.errors import ServiceError
from ocrd.service.entry_point import carried_variables, entry_point
from ocrd.service.install_record import read_record
from ocrd.service.installation import Installation, log_file
from ocrd.service.launchd import Launchd
from ocrd.service.manager import Daemon, Manager
from ocrd.service.systemd import UNIT, Systemd
from ocrd.service.templates import Facts, started_by
from ocrd.system_commands import LABEL

QUICK_ACTION = "OCR with ocrd.workflow"


def manager_here(domain: str | None = None) -> Manager:
    """``domain``: ``gui`` or ``user``, for a Mac.

    By default the one that the service was installed into.

    Raises ServiceError where there is neither launchd nor systemd.
    """
    daemon = Daemon(paths.state_dir())
    if system_commands.is_macos():
        recorded = read_record(daemon.folder).domain if daemon.folder.is_dir() else ""
        file = Path.home() / "Library/LaunchAgents" / f"{LABEL}.plist"
        return Launchd(file, daemon, f"{domain or recorded or 'gui'}/{system_commands.user_id()}")
    if not sys.platform.startswith("linux"):
        raise ServiceError(
            "services are known for macOS and Linux; elsewhere keep this running: ocrd run"
        )
    base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Systemd(Path(base).expanduser() / "systemd/user" / UNIT, daemon)


def installation_here(
    config: Path | None, domain: str | None = None, *, dry_run: bool = False
) -> Installation:
    """Without ``config`` that of the service that is installed already, else the usual one.

    Raises ServiceError when there is no program to start.
    """
    home = Path.home()
    manager = manager_here(domain)
    where = Path(os.path.abspath(config or config_of(manager) or paths.config_file()))  # noqa: PTH100 - no links
    facts = Facts(entry_point(), where, home, log_file(), carried_variables())
    quick_action = home / "Library/Services" / QUICK_ACTION if system_commands.is_macos() else None
    return Installation(where, paths.state_dir(), facts, manager, quick_action, dry_run)


def usual_config(config: Path | None) -> Path | None:
    """``config`` when it is named, else that of the installed service; None for the usual place."""
    with contextlib.suppress(ServiceError):
        return config or config_of(manager_here())
    return config


def config_of(manager: Manager) -> Path | None:
    """The configuration that the installed service was given.

    None where none is installed, or its file is broken.
    """
    try:
        return started_by(manager.file)[1] if manager.file.is_file() else None
    except ServiceError:
        return None
