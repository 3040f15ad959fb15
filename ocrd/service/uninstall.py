"""Remove what `install` created, step by step, and nothing else.

It can be interrupted and run again.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from ocrd.config import Config, is_managed, load_config
from ocrd.errors import ServiceError
from ocrd.files import hash_bytes, hash_file
from ocrd.service.daemon_probe import DaemonProbe
from ocrd.service.install_record import InstallRecord
from ocrd.service.installation import Installation, move_aside
from ocrd.service.service_manager import refuse_inside_service
from ocrd.service.systemd import Systemd

# How long to wait for another process that heals the model.
MODEL_LOCK_TIMEOUT_S = 1.0


def uninstall(installation: Installation, *, model: bool = False) -> Iterator[str]:
    """Stop the service and remove what `install` created.

    Args:
        installation: What to remove.
        model: Remove also the model that ocrd downloaded.

    Yields:
        One line for each thing that was removed or kept.

    Raises:
        ConfigError: The configuration, which names the model's folder, is invalid.
        ServiceError: The service does not stop, or a file cannot be removed.
    """
    refuse_inside_service("uninstall")
    # Read before anything is removed: it may be invalid, and it names the model's folder.
    read_config = model and installation.config.exists()
    config = load_config(installation.config) if read_config else Config.model_validate({})
    record = installation.read_record()
    yield _stop(installation)
    recorded = [Path(file) for file in record.files]
    for path in dict.fromkeys([*recorded, installation.manager.file, *installation.files()]):
        yield from _remove_file(installation, record, path=path)
    if not installation.dry_run:
        _remove_bundle(installation)
        with contextlib.suppress(ServiceError):
            installation.manager.forget()
    for name in reversed(record.folders):
        yield from _remove_folder(installation, Path(name))
    if model:
        yield from _remove_model(installation, config)
    if not installation.dry_run:
        record.delete()
    kept = "would keep" if installation.dry_run else "kept"
    contents = "the queue" if model else "the queue and the model"
    yield (
        f"{kept} {installation.config}, your files and their sidecars, "
        f"{installation.context.log.parent}, and {installation.state_dir} ({contents})"
    )


def _stop(installation: Installation) -> str:
    manager = installation.manager
    if installation.dry_run:
        return f"would stop the service ({manager.name})"
    if error := manager.state().error:
        if DaemonProbe(installation.state_dir).is_running():
            raise ServiceError(f"the service is running and cannot be stopped: {error}")
        return f"the service is not running; its state is not known: {error}"
    stopped = manager.stop()
    if isinstance(manager, Systemd) and manager.file.exists():
        manager.disable()
    return "stopped the service" if stopped else "the service was not running"


def _remove_file(installation: Installation, record: InstallRecord, *, path: Path) -> Iterator[str]:
    if not os.path.lexists(path):
        return
    if installation.dry_run:
        yield f"would remove {path}"
        return
    # Without a record (the state folder was lost), a file with the contents that ocrd would write
    # is ocrd's own as well.
    expected = installation.all_files().get(path)
    found = hash_file(path) if path.is_file() and not path.is_symlink() else ""
    if record.wrote(path, found) or (expected is not None and found == hash_bytes(expected)):
        try:
            path.unlink()
        except OSError as error:
            raise ServiceError(
                f"{path}: cannot be removed ({error.strerror}); check its permissions, "
                "then run: ocrd uninstall"
            ) from error
        yield f"removed {path}"
    else:
        yield f"kept {path}, which was changed, as {move_aside(path).name}"


def _remove_bundle(installation: Installation) -> None:
    """Remove the Quick Action's folders, unless they contain other files."""
    if installation.quick_action is not None:
        for folder in (installation.quick_action / "Contents", installation.quick_action):
            with contextlib.suppress(OSError):
                folder.rmdir()


def _remove_folder(installation: Installation, folder: Path) -> Iterator[str]:
    if not folder.is_dir():
        return
    if installation.dry_run:
        yield f"would remove {folder} if it is empty"
        return
    try:
        folder.rmdir()
    except OSError:
        yield f"kept {folder}, which is not empty"
    else:
        yield f"removed {folder}, which was empty"


def _remove_model(installation: Installation, config: Config) -> Iterator[str]:
    from ocrd.model.factory import make_storage
    from ocrd.model.staging import healing_lock

    if DaemonProbe(installation.state_dir).is_running() and not installation.dry_run:
        raise ServiceError(
            "ocrd was started by hand and is using this model; "
            "stop it, then run: ocrd uninstall --model"
        )
    if not is_managed(config.model):
        yield "kept the model, because ocrd did not download it"
        return
    storage = make_storage(config.model)
    existing = [
        path for path in (storage.installed, storage.staging, storage.replaced) if path.exists()
    ]
    if not existing:
        yield "there is no model to remove"
    elif installation.dry_run:
        yield from (f"would remove {path.path}" for path in existing)
    else:
        with healing_lock(storage, timeout_s=MODEL_LOCK_TIMEOUT_S):
            for path in existing:
                path.remove()
                yield f"removed {path.path}"
        with contextlib.suppress(OSError):
            storage.lock_file.unlink()
            storage.repo_folder.rmdir()  # the folder of all revisions, unless there are others
