"""Find out what applies to this machine and user: service manager, files, configuration."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from ocrd import paths, system_commands
from ocrd.errors import ServiceError
from ocrd.service.daemon_probe import DaemonProbe
from ocrd.service.entry_point import find_entry_point, service_variables
from ocrd.service.install_record import read_record
from ocrd.service.installation import Installation, launchd_log_file
from ocrd.service.launchd import Launchd
from ocrd.service.service_manager import ServiceManager
from ocrd.service.systemd import UNIT, Systemd
from ocrd.service.templates import TemplateContext, parse_service_file
from ocrd.system_commands import LABEL

QUICK_ACTION = "OCR with ocrd.workflow"


def detect_service_manager(domain: str | None = None) -> ServiceManager:
    """Return this machine's service manager.

    Args:
        domain: The type of launchd's domain, ``gui`` or ``user``. By default the one that the
            service was installed in, else ``gui``.

    Raises:
        ServiceError: There is neither launchd nor systemd.
    """
    daemon = DaemonProbe(paths.state_dir())
    if system_commands.is_macos():
        recorded = read_record(daemon.state_dir).domain if daemon.state_dir.is_dir() else ""
        file = Path.home() / "Library/LaunchAgents" / f"{LABEL}.plist"
        return Launchd(file, daemon, f"{domain or recorded or 'gui'}/{system_commands.user_id()}")
    if not sys.platform.startswith("linux"):
        raise ServiceError(
            f"there is no service for {sys.platform}, only for macOS and Linux; "
            "run the daemon yourself: ocrd run"
        )
    base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Systemd(Path(base).expanduser() / "systemd/user" / UNIT, daemon)


def detect_installation(
    config: Path | None, domain: str | None = None, *, dry_run: bool = False
) -> Installation:
    """Return what an installation consists of on this machine.

    Args:
        config: The configuration file. By default that of the installed service, else the usual
            one.
        domain: See `detect_service_manager`.
        dry_run: See `Installation`.

    Raises:
        ServiceError: There is no service manager or no ``ocrd`` program.
    """
    home = Path.home()
    services = home / "Library/Services"
    manager = detect_service_manager(domain)
    config = config or installed_config(manager) or paths.config_file()
    config = Path(os.path.abspath(config))  # noqa: PTH100 - does not resolve links
    context = TemplateContext(
        program=find_entry_point(),
        config=config,
        home=home,
        log=launchd_log_file(),
        environment=service_variables(),
    )
    return Installation(
        config=config,
        state_dir=paths.state_dir(),
        context=context,
        manager=manager,
        quick_action=services / QUICK_ACTION if system_commands.is_macos() else None,
        dry_run=dry_run,
    )


def default_config(config: Path | None) -> Path | None:
    """Return ``config``, or the configuration of the installed service when it is None.

    Returns:
        None when there is neither; `load_config` then reads the usual file.
    """
    if config is not None:
        return config
    with contextlib.suppress(ServiceError):
        return installed_config(detect_service_manager())
    return None


def installed_config(manager: ServiceManager) -> Path | None:
    """Return the configuration file that the installed service uses.

    Returns:
        None when no service is installed, or its file cannot be read.
    """
    try:
        return parse_service_file(manager.file).config if manager.file.is_file() else None
    except ServiceError:
        return None
