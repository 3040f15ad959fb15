"""Install and remove, step by step. Each step looks first, does what is missing, and says what it did.

So a second run does nothing, and one after an interruption does the rest. A file of ours that somebody edited is set
aside, never overwritten or lost.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import ocrd
from ocrd import paths, system
from ocrd.config import Config, is_managed, load_config
from ocrd.durable import write_atomically
from ocrd.errors import ServiceError
from ocrd.service import first_run, templates
from ocrd.service.entry import guarded_place
from ocrd.service.launchd import Launchd
from ocrd.service.manager import Daemon, Manager, refuse_inside
from ocrd.service.record import Record, read_record
from ocrd.service.systemd import Systemd
from ocrd.sidecar import hash_bytes, hash_file

EDITED = ".edited"
"""Put behind the name of a file that was set aside: launchd takes up ``*.plist`` alone."""


@dataclass(frozen=True)
class Installation:
    """Where everything goes, and with what in it."""

    config: Path
    state: Path
    facts: templates.Facts
    manager: Manager
    quick_action: Path | None
    """The bundle's folder; None where there is no Finder."""
    dry_run: bool = False

    def files(self) -> Mapping[Path, bytes]:
        """All but the service's own, which comes last."""
        if self.quick_action is None:
            return {}
        contents = templates.quick_action(self.facts)
        return {self.quick_action / "Contents" / name: data for name, data in contents.items()}

    def service_file(self) -> bytes:
        return templates.unit(self.facts) if self.manager.name == "systemd" else templates.agent(self.facts)


def install(order: Installation, inbox: Path | None = None, pocket: bool = False) -> Iterator[str]:
    """Write what is missing and start the service; yields a sentence for each thing that was done or found done.

    Raises ConfigError or ServiceError where it cannot go on; calling it again goes on from there.
    """
    refuse_inside("install")
    if not order.dry_run:
        order.manager.check()
    config, said = _configuration(order, inbox, pocket)
    yield said
    yield from _warnings(order, config)
    record = read_record(order.state) if not order.dry_run else _peek(order.state)
    if isinstance(order.manager, Launchd) and not order.dry_run:
        _move_domain(order.manager, record)
    yield from _folders(order, config, record)
    files = {**order.files(), order.manager.file: order.service_file()}
    for path, data in files.items():
        yield _file(order, record, path, data)
    yield from _service(order, record)
    if order.quick_action is not None and not order.dry_run:
        with contextlib.suppress(ServiceError):  # Finder looks by itself too, only later
            system.call("pbs", "-flush")
    if is_managed(config.model) and not order.dry_run:
        yield "the model is fetched by the service if it is not here yet (6.7 GB); how far it is: ocrd status"


def uninstall(order: Installation, model: bool = False) -> Iterator[str]:
    """Stop the service and remove what `install` made; yields a sentence for each thing. Raises as `install`."""
    refuse_inside("uninstall")
    record = read_record(order.state) if not order.dry_run else _peek(order.state)
    if order.dry_run:
        yield f"would stop the service ({order.manager.name})"
    elif order.manager.state().trouble is None:
        yield "stopped the service" if order.manager.stop() else "the service did not run"
        if isinstance(order.manager, Systemd) and order.manager.file.exists():
            order.manager.disable()
    else:
        # Without a session to ask there is none in which the service could run.
        yield f"the service could not be asked to stop: {order.manager.state().trouble}"
    ours = [*(Path(file) for file in record.files), order.manager.file, *order.files()]
    for path in dict.fromkeys(ours):
        yield from _remove(order, record, path)
    if order.quick_action is not None:
        for folder in (order.quick_action / "Contents", order.quick_action):
            if not order.dry_run:
                with contextlib.suppress(OSError):
                    folder.rmdir()
    if not order.dry_run:
        with contextlib.suppress(ServiceError):
            order.manager.clear()
    for name in reversed(record.folders):
        yield from _remove_folder(order, Path(name))
    if model:
        yield from _remove_model(order)
    if not order.dry_run:
        record.remove()
    rest = "the queue" if model else "the queue and the model"
    yield f"kept {order.config}, your files and their sidecars, {order.facts.log.parent}, and {order.state} ({rest})"


def _move_domain(manager: Launchd, record: Record) -> None:
    """A service that lies in another of launchd's domains leaves it: it must not run in both."""
    if record.domain and record.domain != manager.kind:
        with contextlib.suppress(ServiceError):  # that domain may be gone, and the service with it
            replace(manager, domain=manager.domain.replace(manager.kind, record.domain, 1)).stop()
    record.domain = manager.kind
    record.save()


def _configuration(order: Installation, inbox: Path | None, pocket: bool) -> tuple[Config, str]:
    if order.dry_run and not order.config.exists():
        return Config.model_validate({}), f"would write {order.config}"
    wrote = False if order.dry_run else first_run.write_config(order.config, inbox, pocket)
    unused = ", so --inbox and --pocket say nothing" if (inbox or pocket) and not wrote else ""
    return load_config(order.config), f"{'wrote' if wrote else 'kept'} {order.config}{unused}"


def _warnings(order: Installation, config: Config) -> Iterator[str]:
    if not system.on_mac():
        return
    folders = [folder for inbox in config.inbox for folder in (inbox.path, inbox.output) if folder]
    for path in (order.facts.program, order.config, *folders):
        if why := guarded_place(path, order.facts.home):
            yield f"note: {why}, which macOS guards: allow it when asked, or choose a place such as ~/OCR"


def _folders(order: Installation, config: Config, record: Record) -> Iterator[str]:
    for folder in first_run.missing_folders(config):
        if order.dry_run:
            yield f"would make {folder}"
            continue
        if str(folder) not in record.folders:
            record.folders.append(str(folder))
            record.save()
        first_run.make_folder(folder)
        yield f"made {folder}"
    for inbox in config.inbox:
        yield f"watching {inbox.path}"


def _file(order: Installation, record: Record, path: Path, data: bytes) -> str:
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
        aside = f" (what was there is now {_set_aside(path).name})"
    record.about_to_write(path, sha256)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, data)
    except OSError as error:
        raise ServiceError(f"{path}: cannot be written ({error.strerror})") from error
    record.written(path, sha256)
    return f"{'wrote' if found is None or aside else 'replaced'} {path}{aside}"


def _set_aside(path: Path) -> Path:
    number = 1
    while os.path.lexists(aside := path.with_name(f"{path.name}{EDITED}{'' if number == 1 else number}")):
        number += 1
    try:
        path.rename(aside)
    except OSError as error:
        raise ServiceError(f"{path}: is not as ocrd wrote it, and cannot be moved ({error.strerror})") from error
    return aside


def _service(order: Installation, record: Record) -> Iterator[str]:
    manager, sha256 = order.manager, hash_bytes(order.service_file())
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
    paths.private_folder(order.facts.log.parent)
    manager.load()
    note_loaded(order.state, sha256)
    yield f"started the service ({manager.name}, pid {daemon.fact().get('pid')}); it starts at every login"


def refuse_by_hand(daemon: Daemon) -> None:
    """Raises ServiceError when a daemon runs that no service manager started: two cannot run on one state folder."""
    if daemon.running() and (fact := daemon.fact()).get("by") is None and fact:
        raise ServiceError(f"an ocrd that was started by hand runs (pid {fact.get('pid')}); end it, then: ocrd start")


def note_loaded(state: Path, sha256: str) -> None:
    """Remember which file the manager knows now."""
    record = read_record(state)
    record.loaded, record.version = sha256, ocrd.__version__
    record.save()


def _peek(state: Path) -> Record:
    """For a dry run, which makes nothing."""
    return read_record(state) if state.is_dir() else Record(state / "service.json")


def _remove(order: Installation, record: Record, path: Path) -> Iterator[str]:
    if not os.path.lexists(path):
        return
    if order.dry_run:
        yield f"would remove {path}"
        return
    # Without a record (a lost state folder) what stands in our place, just as we would write it, is ours as well.
    expected = {**order.files(), order.manager.file: order.service_file()}.get(path)
    found = hash_file(path) if path.is_file() and not path.is_symlink() else ""
    if record.wrote(path, found) or (expected is not None and found == hash_bytes(expected)):
        try:
            path.unlink()
        except OSError as error:
            raise ServiceError(f"{path}: cannot be removed ({error.strerror})") from error
        yield f"removed {path}"
    else:
        yield f"{path} is not as ocrd wrote it; it is now {_set_aside(path).name}"


def _remove_folder(order: Installation, folder: Path) -> Iterator[str]:
    if not folder.is_dir():
        return
    if order.dry_run:
        yield f"would remove {folder} if it is empty"
        return
    try:
        folder.rmdir()
    except OSError:
        yield f"kept {folder}, which is not empty"
    else:
        yield f"removed {folder}, which was empty"


def _remove_model(order: Installation) -> Iterator[str]:
    from ocrd.model.managed import places_of

    config = load_config(order.config) if order.config.exists() else Config.model_validate({})
    if not is_managed(config.model):
        yield "the model is not one that ocrd fetched, and stays"
        return
    places = places_of(config.model)
    for place in (places.final, places.staging, places.old):
        if not place.exists():
            continue
        if order.dry_run:
            yield f"would remove {place.path}"
        else:
            place.remove()
            yield f"removed {place.path}"


def log_file() -> Path:
    """What the service prints before logging begins."""
    return paths.log_dir() / "launchd.log"
