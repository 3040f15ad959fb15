"""Files: writes that survive a power cut, hashes, and free names."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import itertools
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

# The prefix of every file that does not have its final name yet. The inbox ignores such files.
TEMPORARY_PREFIX = ".ocrd-"

# What `os.link` reports on file systems without hard links (exFAT, many network shares).
_NO_HARD_LINKS = frozenset(
    {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS}
)


def write_atomically(
    path: Path, data: bytes, *, may_replace: Callable[[Path], bool] = lambda _path: True
) -> None:
    """Write a file completely or not at all: a temporary file, fsync, rename, fsync of the folder.

    Args:
        path: The file's final name; its folder exists.
        data: The whole content.
        may_replace: Whether the file that has this name already may be replaced.

    Raises:
        FileExistsError: The name is taken by a file that may not be replaced.
        OSError: The file cannot be written.
    """
    temporary = _temporary_path(path)
    temporary.unlink(missing_ok=True)
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            sync_descriptor(file.fileno())
        if os.path.lexists(path) and may_replace(path):
            temporary.replace(path)
        else:
            _rename_to_free_name(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_descriptor(descriptor: int) -> None:
    """Flush an open file to the disk itself."""
    if sys.platform == "darwin":  # fsync stops at the drive's cache there
        import fcntl

        with contextlib.suppress(OSError):
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            return
    os.fsync(descriptor)


def sync_file(path: Path) -> None:
    """Flush a closed file to the disk itself."""
    _sync(path, sync_descriptor)


def sync_folder(path: Path) -> None:
    """Make the new names and renames in the folder ``path`` durable."""
    _sync(path, os.fsync)


def hash_file(path: Path) -> str:
    """The sha256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_bytes(data: bytes) -> str:
    """The sha256 of ``data``, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def is_locked(path: Path) -> bool:
    """Whether another process holds an exclusive lock (``flock``) of the file.

    Raises:
        OSError: The file exists and cannot be opened.
    """
    try:
        with path.open() as file:
            # Shared: two processes that check together must not take each other for the holder.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except BlockingIOError:
        return True
    return False


def numbered_names(name: str) -> Iterator[str]:
    """``name``, then ``name-2``, ``name-3`` and so on, without an end."""
    yield name
    for number in itertools.count(2):
        yield f"{name}-{number}"


def next_free_path(path: Path) -> Path:
    """``path``, or the first of its `numbered_names` that no file, folder or link has."""
    candidates = (path.with_name(name) for name in numbered_names(path.name))
    return next(candidate for candidate in candidates if not os.path.lexists(candidate))


def _temporary_path(path: Path) -> Path:
    # The same name each time for the same target, so the next run removes what a killed one left.
    digest = hash_bytes(os.fsencode(path.name))[:12]
    return path.parent / f"{TEMPORARY_PREFIX}{digest}.tmp"


def _rename_to_free_name(temporary: Path, path: Path) -> None:
    """Raises FileExistsError when ``path`` is taken; a hard link checks that in the same step."""
    try:
        os.link(temporary, path, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        # Reserve the name with an empty file first.
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))
        temporary.replace(path)


def _sync(path: Path, sync: Callable[[int], None]) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)
