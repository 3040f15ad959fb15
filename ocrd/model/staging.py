"""A new copy is put together beside the old one, and takes its place by rename when it is verified.

Between the two renames the model's folder is absent for a moment; a process that dies there leaves
``~old``, which the next healing puts back. What somebody else laid into the model's folder is never
removed, it moves to ``~kept``.
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
from ocrd.model.hashes import CHUNK, OnBytes
from ocrd.model.manifest import FILE, read_manifest
from ocrd.model.storage import ModelStorage

_OURS = frozenset({FILE, ".DS_Store"})


@contextlib.contextmanager
def sole_healer(places: ModelStorage, patience: float) -> Iterator[None]:
    """Hold this model's lock, which the system takes back when its holder dies.

    Raises ModelUnavailable when another process still heals after ``patience`` seconds.
    """
    try:
        places.siblings.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ModelError(
            f"{places.siblings}: the folder cannot be made ({error.strerror}); mend model.folder"
        ) from error
    if (
        places.siblings.is_symlink()
    ):  # renames would work and removals be refused: better not to begin
        raise ModelError(
            f"{places.siblings} is a link; set model.folder to a folder on the disk that it leads to"
        )
    lock = FileLock(places.lock, timeout=patience, poll_interval=0.1)
    try:
        with lock:
            yield
    except Timeout as error:
        raise ModelUnavailable(
            f"another ocrd is healing the model in {places.final.path}; waiting for it", others=True
        ) from error


def recover(places: ModelStorage) -> None:
    """Finish or undo a swap that was interrupted."""
    if not places.old.exists():
        return
    if places.final.exists():
        _discard_old(places)
    else:
        places.old.path.rename(places.final.path)


def refuse_leftover(places: ModelStorage) -> None:
    """Raises ModelError when what was replaced before is still there, so that a swap would have
    no room for it.
    """
    if places.old.exists():
        raise ModelError(
            f"{places.old.path} was replaced and could not be removed; remove it by hand"
        )


def link_or_copy(source: Path, target: Path, *, link: bool, on_bytes: OnBytes) -> None:
    """Give ``source`` a second name, or copy it where that cannot be. Raises OSError."""
    target.unlink(missing_ok=True)
    if link:
        with contextlib.suppress(OSError):  # another disk, or no hard links there
            os.link(source, target)
            on_bytes(target.stat().st_size)
            return
    temporary = target.with_name(f"{target.name}.copy")
    try:
        with source.open("rb") as reading, temporary.open("wb") as writing:
            while data := reading.read(CHUNK):
                writing.write(data)
                on_bytes(len(data))
        temporary.replace(target)
    finally:
        temporary.unlink(
            missing_ok=True
        )  # half a copy on a full disk would take the room of what comes next


def make_staging(places: ModelStorage, whole: Collection[str], *, parts: Collection[str]) -> Path:
    """The staging folder, with nothing in it but these files.

    Plain ones, and ``parts`` that have no second name.

    Parts are written to, so one that is a link, or the second name of somebody's file, must not
    stay.
    """

    def keep(name: str, status: os.stat_result) -> bool:
        return stat.S_ISREG(status.st_mode) and (
            name in whole or (name in parts and status.st_nlink == 1)
        )

    staging = places.staging.path
    if staging.is_symlink():  # what it leads to is not ours to clear
        staging.unlink()
    staging.mkdir(mode=0o700, exist_ok=True)
    places.staging.clear(keep)
    return staging


def swap(places: ModelStorage) -> None:
    """Put the verified staging folder in the place of the model.

    Raises OSError with the old one in its place.
    """
    refuse_leftover(places)
    for path in places.staging.path.iterdir():
        sync_file(path)
    sync_folder(places.staging.path)
    replaced = places.final.exists()
    if replaced:
        places.final.path.rename(places.old.path)
    try:
        places.staging.path.rename(places.final.path)
    except OSError:
        if replaced:
            places.old.path.rename(places.final.path)
        raise
    sync_folder(places.siblings)
    if replaced:
        _discard_old(places)


def _discard_old(places: ModelStorage) -> None:
    """Remove what was replaced, after everything in it that is not the model's has moved to
    ``~kept``.
    """
    old = places.old.path
    log = structlog.get_logger(component="model")
    try:
        for entry in _strangers(old, places.final.path):
            places.kept.path.mkdir(mode=0o700, exist_ok=True)
            target = next_free_path(places.kept.path / entry.name.removesuffix("~old"))
            entry.rename(target)
            log.warning("a file that is not the model's is kept", file=str(target))
        places.old.remove()
    except (OSError, ModelError) as error:  # the new model stands: what is left is untidy, no more
        log.warning("what was replaced cannot be removed", folder=str(old), error=str(error))


def _strangers(old: Path, new: Path) -> list[Path]:
    if old.is_symlink() or not old.is_dir():
        return [old]  # not a model's folder at all
    known = set(_OURS)
    for folder in (old, new):
        with contextlib.suppress(ModelError):
            if manifest := read_manifest(folder):
                known |= set(manifest.files)
    return [entry for entry in old.iterdir() if entry.name not in known]
