"""A new copy is put together beside the old one, and takes its place by rename when it is verified.

Between the two renames the model's folder is absent for a moment; a process that dies there leaves ``~old``, which
the next healing puts back. What somebody else laid into the model's folder is never removed, it moves to ``~kept``.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import structlog
from filelock import FileLock, Timeout

from ocrd.durable import sync_file, sync_folder
from ocrd.errors import ModelError, ModelUnavailable
from ocrd.model.hashes import CHUNK, OnBytes
from ocrd.model.manifest import FILE, read_manifest
from ocrd.model.places import Places

_OURS = frozenset({FILE, ".cache", ".DS_Store"})


@contextlib.contextmanager
def sole_healer(places: Places, patience: float) -> Iterator[None]:
    """Hold this model's lock, which the system takes back when its holder dies.

    Raises ModelUnavailable when another process still heals after ``patience`` seconds.
    """
    try:
        places.siblings.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ModelError(
            f"{places.siblings}: the folder cannot be made ({error.strerror}); mend model.folder"
        ) from error
    lock = FileLock(places.lock, timeout=patience, poll_interval=0.1)
    try:
        with lock:
            yield
    except Timeout as error:
        raise ModelUnavailable(
            f"another ocrd is healing the model in {places.final.path}; waiting for it", others=True
        ) from error


def recover(places: Places) -> None:
    """Finish or undo a swap that was interrupted."""
    if not places.old.exists():
        return
    if places.final.exists():
        _discard_old(places)
    else:
        places.old.path.rename(places.final.path)


def link_or_copy(source: Path, target: Path, link: bool, on_bytes: OnBytes) -> None:
    """Give ``source`` a second name, or copy it where that cannot be. Raises OSError."""
    target.unlink(missing_ok=True)
    if link:
        with contextlib.suppress(OSError):  # another disk, or no hard links there
            os.link(source, target)
            on_bytes(target.stat().st_size)
            return
    temporary = target.with_name(f"{target.name}.copy")
    with source.open("rb") as reading, temporary.open("wb") as writing:
        while data := reading.read(CHUNK):
            writing.write(data)
            on_bytes(len(data))
    temporary.replace(target)


def clear_strays(staging: Path, keep: set[str]) -> None:
    """Remove from ``staging`` all but ``keep``: parts of another revision, halves of copies."""
    for entry in staging.iterdir():
        if entry.name in keep:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def swap(places: Places) -> None:
    """Put the verified staging folder in the place of the model. Raises OSError with the old one in its place."""
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


def _discard_old(places: Places) -> None:
    """Remove what was replaced, after everything in it that is not the model's has moved to ``~kept``."""
    old = places.old.path
    if old.is_dir() and not old.is_symlink():
        for entry in _strangers(old, places.final.path):
            places.kept.path.mkdir(mode=0o700, exist_ok=True)
            target = _free_name(places.kept.path / entry.name)
            entry.rename(target)
            structlog.get_logger(component="model").warning("a file that is not the model's is kept", file=str(target))
    places.old.remove()


def _strangers(old: Path, new: Path) -> list[Path]:
    known = set(_OURS)
    for folder in (old, new):
        with contextlib.suppress(ModelError):
            if manifest := read_manifest(folder):
                known |= set(manifest.files)
    return [entry for entry in old.iterdir() if entry.name not in known]


def _free_name(path: Path) -> Path:
    free, number = path, 1
    while os.path.lexists(free):
        number += 1
        free = path.with_name(f"{path.name}-{number}")
    return free
