"""Remove what `install` made, step by step, and nothing else.

It may be cut short and done again.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from ocrd.config import Config, is_managed, load_config
from ocrd.errors import ServiceError
from ocrd.files import hash_bytes, hash_file
from ocrd.service.install_record import Record
from ocrd.service.installation import Installation, record_of, set_aside
from ocrd.service.manager import Daemon, refuse_inside
from ocrd.service.systemd import Systemd


def uninstall(order: Installation, *, model: bool = False) -> Iterator[str]:
    """Stop the service and remove what `install` made.

    Yields a sentence for each thing. Raises as `install`.
    """
    refuse_inside("uninstall")
    # Before anything is removed: it may be broken, and names the model.
    config = (
        load_config(order.config) if model and order.config.exists() else Config.model_validate({})
    )
    record = record_of(order)
    yield _stop(order)
    ours = [*(Path(file) for file in record.files), order.manager.file, *order.files()]
    for path in dict.fromkeys(ours):
        yield from _remove(order, record, path=path)
    if not order.dry_run:
        _remove_bundle(order)
        with contextlib.suppress(ServiceError):
            order.manager.clear()
    for name in reversed(record.folders):
        yield from _remove_folder(order, Path(name))
    if model:
        yield from _remove_model(order, config)
    if not order.dry_run:
        record.remove()
    rest = "the queue" if model else "the queue and the model"
    yield f"kept {order.config}, your files and their sidecars, {order.facts.log.parent}, and {order.state} ({rest})"


def _stop(order: Installation) -> str:
    if order.dry_run:
        return f"would stop the service ({order.manager.name})"
    if trouble := order.manager.state().trouble:
        if Daemon(order.state).running():
            raise ServiceError(f"the service runs, and cannot be asked to stop: {trouble}")
        return f"the service does not run, and cannot be asked: {trouble}"
    stopped = order.manager.stop()
    if isinstance(order.manager, Systemd) and order.manager.file.exists():
        order.manager.disable()
    return "stopped the service" if stopped else "the service did not run"


def _remove(order: Installation, record: Record, *, path: Path) -> Iterator[str]:
    if not os.path.lexists(path):
        return
    if order.dry_run:
        yield f"would remove {path}"
        return
    # Without a record (a lost state folder) what stands in our place, just as we would write it, is
    # ours as well.
    expected = {**order.files(), order.manager.file: order.service_file()}.get(path)
    found = hash_file(path) if path.is_file() and not path.is_symlink() else ""
    if record.wrote(path, found) or (expected is not None and found == hash_bytes(expected)):
        try:
            path.unlink()
        except OSError as error:
            raise ServiceError(f"{path}: cannot be removed ({error.strerror})") from error
        yield f"removed {path}"
    else:
        yield f"{path} is not as ocrd wrote it; it is now {set_aside(path).name}"


def _remove_bundle(order: Installation) -> None:
    """The Quick Action's own folders, unless somebody put something there."""
    if order.quick_action is not None:
        for folder in (order.quick_action / "Contents", order.quick_action):
            with contextlib.suppress(OSError):
                folder.rmdir()


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


def _remove_model(order: Installation, config: Config) -> Iterator[str]:
    from ocrd.model.factory import places_of
    from ocrd.model.staging import sole_healer

    if Daemon(order.state).running() and not order.dry_run:
        raise ServiceError(
            "an ocrd that was started by hand runs with this model; end it, then: ocrd uninstall --model"
        )
    if not is_managed(config.model):
        yield "the model is not one that ocrd fetched, and stays"
        return
    places = places_of(config.model)
    there = [place for place in (places.final, places.staging, places.old) if place.exists()]
    if not there:
        yield "there is no model to remove"
    elif order.dry_run:
        yield from (f"would remove {place.path}" for place in there)
    else:
        with sole_healer(places, patience=1.0):
            for place in there:
                place.remove()
                yield f"removed {place.path}"
        with contextlib.suppress(OSError):
            places.lock.unlink()
            places.siblings.rmdir()  # of other revisions, if there are none
