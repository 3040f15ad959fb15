"""Install the service step by step.

Each step checks what exists, does what is missing and reports it. So a second installation does
nothing, and an installation after an interruption does the rest. A file of ocrd's that the user
edited is renamed, never overwritten or lost.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import ocrd
from ocrd import paths, system_commands
from ocrd.config import Config, is_managed, load_config
from ocrd.errors import ServiceError
from ocrd.files import hash_bytes, hash_file, write_atomically
from ocrd.service.daemon_probe import DaemonProbe, refuse_if_started_by_hand
from ocrd.service.entry_point import tcc_protected
from ocrd.service.first_run import create_folder, missing_folders, write_config
from ocrd.service.install_record import InstallRecord
from ocrd.service.installation import Installation, move_aside, record_loaded
from ocrd.service.launchd import Launchd
from ocrd.service.service_manager import refuse_inside_service


def install(
    installation: Installation, inbox: Path | None = None, *, pocket: bool = False
) -> Iterator[str]:
    """Create what is missing and start the service.

    It can be called again after any error or interruption, and then does the rest.

    Args:
        installation: What to install.
        inbox: The folder to watch; for a new configuration only.
        pocket: Use the small demonstration model; for a new configuration only.

    Yields:
        One line for each thing that was done or that existed.

    Raises:
        ConfigError: The configuration cannot be written or is invalid.
        ServiceError: A file cannot be written, or the service does not start.
    """
    refuse_inside_service("install")
    if not installation.dry_run:
        installation.manager.check_available()
    config, message = _write_config(installation, inbox, pocket=pocket)
    yield message
    yield from _warn_of_protected_folders(installation, config)
    record = installation.read_record()
    if isinstance(installation.manager, Launchd) and not installation.dry_run:
        _leave_other_domain(installation.manager, record)
    yield from _create_inboxes(installation, config, record=record)
    for path, data in installation.all_files().items():
        yield _write_file(installation, record, path=path, data=data)
    yield _start(installation, record)
    if installation.quick_action is not None and not installation.dry_run:
        with contextlib.suppress(ServiceError):  # Finder finds it without this too, only later
            system_commands.run_command("pbs", "-flush")
    if is_managed(config.model) and not installation.dry_run:
        yield (
            "the service downloads the model (6.7 GB) unless it is already here; "
            "see its progress with: ocrd status"
        )


def _leave_other_domain(manager: Launchd, record: InstallRecord) -> None:
    """Stop the service in launchd's other domain: it must not run in both."""
    if record.domain and record.domain != manager.domain_type:
        with contextlib.suppress(ServiceError):  # the domain, and the service in it, may be gone
            manager.in_domain(record.domain).stop()
    record.domain = manager.domain_type
    record.save()


def _write_config(
    installation: Installation, inbox: Path | None, *, pocket: bool
) -> tuple[Config, str]:
    path = installation.config
    if installation.dry_run and not path.exists():
        return Config.model_validate({}), f"would write {path}"
    written = not installation.dry_run and write_config(path, inbox, pocket=pocket)
    if written:
        return load_config(path), f"wrote {path}"
    unused = ", so --inbox and --pocket have no effect" if inbox or pocket else ""
    return load_config(path), f"kept {path}{unused}"


def _warn_of_protected_folders(installation: Installation, config: Config) -> Iterator[str]:
    if not system_commands.is_macos():
        return
    folders = [folder for inbox in config.inbox for folder in (inbox.path, inbox.output) if folder]
    for path in (installation.context.program, installation.config, *folders):
        if reason := tcc_protected(path, installation.context.home):
            yield (
                f"note: {reason}, which macOS protects; allow the access when macOS asks, "
                "or choose another folder such as ~/OCR"
            )


def _create_inboxes(
    installation: Installation, config: Config, *, record: InstallRecord
) -> Iterator[str]:
    for folder in missing_folders(inbox.path for inbox in config.inbox):
        if installation.dry_run:
            yield f"would create {folder}"
            continue
        record.add_folder(folder)
        create_folder(folder)
        yield f"created {folder}"
    for inbox in config.inbox:
        yield f"{'would watch' if installation.dry_run else 'watching'} {inbox.path}"


def _write_file(
    installation: Installation, record: InstallRecord, *, path: Path, data: bytes
) -> str:
    sha256 = hash_bytes(data)
    found = hash_file(path) if path.is_file() else None
    if found == sha256:
        if not installation.dry_run:
            record.confirm_write(path, sha256)
        return f"kept {path}"
    if installation.dry_run:
        return f"would {'write' if found is None else 'replace'} {path}"
    was_edited = os.path.lexists(path) and (found is None or not record.wrote(path, found))
    renamed = f" (the previous file is now {move_aside(path).name})" if was_edited else ""
    record.add_planned_write(path, sha256)
    try:
        for folder in missing_folders([path.parent]):
            record.add_folder(folder)
            folder.mkdir(exist_ok=True)
        write_atomically(path, data)
    except OSError as error:
        raise ServiceError(
            f"{path}: cannot be written ({error.strerror}); check its permissions, "
            "then run: ocrd install"
        ) from error
    record.confirm_write(path, sha256)
    return f"{'wrote' if found is None or was_edited else 'replaced'} {path}{renamed}"


def _start(installation: Installation, record: InstallRecord) -> str:
    manager = installation.manager
    sha256 = hash_bytes(installation.service_file())
    if installation.dry_run:
        return f"would start the service ({manager.name})"
    daemon = DaemonProbe(installation.state_dir)
    refuse_if_started_by_hand(daemon, "stop it, then run: ocrd start")
    is_current = record.loaded == sha256 and record.version == ocrd.__version__
    if is_current and manager.state().loaded and daemon.is_running():
        return f"the service is already running (pid {daemon.pid()})"
    # When the folder of launchd.log is missing, launchd starts nothing and reports only code 78.
    paths.make_private_folder(installation.context.log.parent)
    manager.load()
    record_loaded(installation.state_dir, sha256)
    return (
        f"started the service ({manager.name}, pid {daemon.pid()}); it starts again at every login"
    )
