"""The staging folder: a new copy is assembled next to the model and replaces it by renames.

Between the two renames the model's folder does not exist. A process that dies there leaves
``~old``, which the next healing restores. Other files in the model's folder are never removed: they
move to ``~kept``.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

import structlog
from filelock import FileLock, Timeout

from ocrd.errors import ModelError, ModelUnavailable
from ocrd.files import next_free_path, sync_file, sync_folder
from ocrd.model.hashes import CHUNK_BYTES, OnBytes
from ocrd.model.manifest import MANIFEST_FILE, ManifestEntry, read_manifest
from ocrd.model.storage import ModelStorage

_log = structlog.get_logger(component="model")

# Files that belong to a model's folder without being in its manifest.
_OWN_FILES = frozenset({MANIFEST_FILE, ".DS_Store"})

_LOCK_POLL_INTERVAL_S = 0.1

# Characters of a hash in the name of a partial download.
_HASH_LENGTH = 16


@contextlib.contextmanager
def healing_lock(storage: ModelStorage, timeout_s: float) -> Iterator[None]:
    """Hold this model's lock, which the system releases when its holder dies.

    Raises:
        ModelUnavailable: Another process still holds it after ``timeout_s``.
        ModelError: The models' folder cannot be used.
    """
    folder = storage.repo_folder
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ModelError(
            f"{folder}: the folder cannot be created ({error.strerror}); correct model.folder"
        ) from error
    if folder.is_symlink():  # renames would work, but removals would be refused
        raise ModelError(
            f"{folder} is a link; set model.folder to a folder on the disk that it leads to"
        )
    lock = FileLock(storage.lock_file, timeout=timeout_s, poll_interval=_LOCK_POLL_INTERVAL_S)
    try:
        with lock:
            yield
    except Timeout as error:
        raise ModelUnavailable(
            f"another ocrd is healing the model in {storage.installed.path}; waiting for it",
            locked=True,
        ) from error


def prepare_staging(
    storage: ModelStorage, complete: Collection[str], *, partial: Collection[str]
) -> Path:
    """Create the staging folder, or remove everything from it that is not needed.

    Args:
        storage: The model's paths.
        complete: Names of plain files to keep.
        partial: Names of partial downloads to keep. They are appended to, so one that is a link,
            or the second name of another file, is not kept.

    Returns:
        The staging folder.
    """

    def keep(name: str, status: os.stat_result) -> bool:
        if not stat.S_ISREG(status.st_mode):
            return False
        return name in complete or (name in partial and status.st_nlink == 1)

    staging = storage.staging.path
    if staging.is_symlink():  # its target is not ours to clear
        staging.unlink()
    staging.mkdir(mode=0o700, exist_ok=True)
    storage.staging.clear(keep)
    return staging


def partial_path(staging: Path, name: str, *, entry: ManifestEntry) -> Path:
    """Where the first bytes of a download are kept.

    The name contains the hash, so that a download of another revision is not continued.
    """
    return staging / f"{name}.{entry.hash[:_HASH_LENGTH]}.part"


def partial_bytes(staging: Path, name: str, *, entry: ManifestEntry) -> int:
    """The bytes of a file that were downloaded before."""
    try:
        return partial_path(staging, name, entry=entry).stat().st_size
    except OSError:
        return 0


def link_or_copy(source: Path, target: Path, *, link: bool, on_bytes: OnBytes) -> None:
    """Create ``target`` as a hard link to ``source``, or as a copy.

    Args:
        source: An existing file.
        target: Replaced when it exists.
        link: Try a hard link first. It fails on another disk or without support for hard links.
        on_bytes: Called as bytes are copied, or with the file's size for a link.

    Raises:
        OSError: Neither is possible; ``target`` does not exist then.
    """
    target.unlink(missing_ok=True)
    if link:
        with contextlib.suppress(OSError):
            os.link(source, target)
            on_bytes(target.stat().st_size)
            return
    temporary = target.with_name(f"{target.name}.copy")
    try:
        with source.open("rb") as reading, temporary.open("wb") as writing:
            while data := reading.read(CHUNK_BYTES):
                writing.write(data)
                on_bytes(len(data))
        temporary.replace(target)
    finally:
        # On a full disk, half a copy would take the room of the next try.
        temporary.unlink(missing_ok=True)


def swap(storage: ModelStorage) -> None:
    """Replace the model by the verified staging folder.

    Raises:
        OSError: It failed, and the old model is in its place.
    """
    check_no_leftover(storage)
    for path in storage.staging.path.iterdir():
        sync_file(path)
    sync_folder(storage.staging.path)
    had_model = storage.installed.exists()
    if had_model:
        storage.installed.path.rename(storage.replaced.path)
    try:
        storage.staging.path.rename(storage.installed.path)
    except OSError:
        if had_model:
            storage.replaced.path.rename(storage.installed.path)
        raise
    sync_folder(storage.repo_folder)
    if had_model:
        _remove_replaced(storage)


def finish_interrupted_swap(storage: ModelStorage) -> None:
    """Complete a swap that was interrupted, or undo it."""
    if not storage.replaced.exists():
        return
    if storage.installed.exists():
        _remove_replaced(storage)
    else:
        storage.replaced.path.rename(storage.installed.path)


def check_no_leftover(storage: ModelStorage) -> None:
    """Raise ModelError when an earlier replaced model still exists; a swap needs its name."""
    if storage.replaced.exists():
        raise ModelError(
            f"{storage.replaced.path} was replaced and could not be removed; remove it by hand"
        )


def _remove_replaced(storage: ModelStorage) -> None:
    """Remove the replaced model, after every other file in it has moved to ``~kept``."""
    replaced = storage.replaced.path
    try:
        for entry in _other_files(replaced, storage.installed.path):
            storage.kept.path.mkdir(mode=0o700, exist_ok=True)
            target = next_free_path(storage.kept.path / entry.name.removesuffix("~old"))
            entry.rename(target)
            _log.warning("kept a file that is not the model's", file=str(target))
        storage.replaced.remove()
    except (OSError, ModelError) as error:  # the new model is in place, so this is not fatal
        _log.warning("the replaced model cannot be removed", folder=str(replaced), error=str(error))


def _other_files(replaced: Path, installed: Path) -> list[Path]:
    """The entries of ``replaced`` that belong to neither model."""
    if replaced.is_symlink() or not replaced.is_dir():
        return [replaced]
    known = set(_OWN_FILES)
    for folder in (replaced, installed):
        with contextlib.suppress(ModelError):
            manifest = read_manifest(folder)
            if manifest is not None:
                known |= set(manifest.files)
    return [entry for entry in replaced.iterdir() if entry.name not in known]
