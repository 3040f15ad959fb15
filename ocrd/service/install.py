"""Install, step by step. Each step looks first, does what is missing, and says what it did.

So a second run does nothing, and one after an interruption does the rest. A file of ours that
somebody edited is set aside, never overwritten or lost.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import ocrd
from ocrd import paths, system_commands
from ocrd.config import Config, is_managed, load_config
from ocrd.errors import ServiceError
from ocrd.files import hash_bytes, hash_file, write_atomically
from ocrd.service import first_run
from ocrd.service.entry_point import guarded_place
from ocrd.service.install_record import Record
from ocrd.service.installation import (
    Installation,
    note_loaded,
    record_of,
    refuse_by_hand,
    set_aside,
)
from ocrd.service.launchd import Launchd
from ocrd.service.manager import Daemon, refuse_inside


def install(
    order: Installation, inbox: Path | None = None, *, pocket: bool = False
) -> Iterator[str]:
    """Write what is missing and start the service.

    Yields a sentence for each thing that was done or found done.

    Raises ConfigError or ServiceError where it cannot go on; calling it again goes on from there.
    """
    refuse_inside("install")
    if not order.dry_run:
        order.manager.check()
    config, said = _configuration(order, inbox, pocket=pocket)
    yield said
    yield from _warnings(order, config)
    record = record_of(order)
    if isinstance(order.manager, Launchd) and not order.dry_run:
        _move_domain(order.manager, record)
    yield from _folders(order, config, record=record)
    files = {**order.files(), order.manager.file: order.service_file()}
    for path, data in files.items():
        yield _file(order, record, path=path, data=data)
    yield from _service(order, record)
    if order.quick_action is not None and not order.dry_run:
        with contextlib.suppress(ServiceError):  # Finder looks by itself too, only later
            system_commands.run_command("pbs", "-flush")
    if is_managed(config.model) and not order.dry_run:
        yield "the model is fetched by the service if it is not here yet (6.7 GB); how far it is: ocrd status"


def _move_domain(manager: Launchd, record: Record) -> None:
    """A service that lies in another of launchd's domains leaves it: it must not run in both."""
    if record.domain and record.domain != manager.kind:
        with contextlib.suppress(ServiceError):  # that domain may be gone, and the service with it
            replace(manager, domain=manager.domain.replace(manager.kind, record.domain, 1)).stop()
    record.domain = manager.kind
    record.save()


def _configuration(order: Installation, inbox: Path | None, *, pocket: bool) -> tuple[Config, str]:
    if order.dry_run and not order.config.exists():
        return Config.model_validate({}), f"would write {order.config}"
    wrote = False if order.dry_run else first_run.write_config(order.config, inbox, pocket=pocket)
    unused = ", so --inbox and --pocket say nothing" if (inbox or pocket) and not wrote else ""
    return load_config(order.config), f"{'wrote' if wrote else 'kept'} {order.config}{unused}"


def _warnings(order: Installation, config: Config) -> Iterator[str]:
    if not system_commands.is_macos():
        return
    folders = [folder for inbox in config.inbox for folder in (inbox.path, inbox.output) if folder]
    for path in (order.facts.program, order.config, *folders):
        if why := guarded_place(path, order.facts.home):
            yield f"note: {why}, which macOS guards: allow it when asked, or choose a place such as ~/OCR"


def _folders(order: Installation, config: Config, *, record: Record) -> Iterator[str]:
    for folder in first_run.missing(inbox.path for inbox in config.inbox):
        if order.dry_run:
            yield f"would make {folder}"
            continue
        record.about_to_make(folder)
        first_run.make_folder(folder)
        yield f"made {folder}"
    for inbox in config.inbox:
        yield f"watching {inbox.path}"


def _file(order: Installation, record: Record, *, path: Path, data: bytes) -> str:
    sha256 = hash_bytes(data)
    found = hash_file(path) if path.is_file() else None
    if found == sha256:
        if not order.dry_run:
            record.written(path, sha256)
        return f"kept {path}"
    if order.dry_run:
        return f"would {'write' if found is None else 'replace'} {path}"
    aside = ""
    if os.path.lexists(path) and (found is None or not record.wrote(path, found)):
        aside = f" (what was there is now {set_aside(path).name})"
    record.about_to_write(path, sha256)
    try:
        for folder in first_run.missing([path.parent]):
            record.about_to_make(folder)
            folder.mkdir(exist_ok=True)
        write_atomically(path, data)
    except OSError as error:
        raise ServiceError(f"{path}: cannot be written ({error.strerror})") from error
    record.written(path, sha256)
    return f"{'wrote' if found is None or aside else 'replaced'} {path}{aside}"


def _service(order: Installation, record: Record) -> Iterator[str]:
    manager = order.manager
    sha256 = hash_bytes(order.service_file())
    if order.dry_run:
        yield f"would start the service ({manager.name})"
        return
    daemon = Daemon(order.state)
    refuse_by_hand(daemon)
    current = record.loaded == sha256 and record.version == ocrd.__version__
    if current and manager.state().loaded and daemon.running():
        yield f"the service runs already (pid {daemon.fact().get('pid')})"
        return
    # Without the folder of its output launchd starts nothing, and says only 78.
    paths.make_private_folder(order.facts.log.parent)
    manager.load()
    note_loaded(order.state, sha256)
    yield f"started the service ({manager.name}, pid {daemon.fact().get('pid')}); it starts at every login"
