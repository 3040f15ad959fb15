"""Bytes that survive a power cut."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

# Of every file that is on its way to its name; the inbox passes over it.
TEMPORARY_PREFIX = ".ocrd-"


def sync_descriptor(descriptor: int) -> None:
    """Push an open file to the disk itself."""
    if sys.platform == "darwin":  # there fsync stops at the drive's cache
        import fcntl

        with contextlib.suppress(OSError):
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            return
    os.fsync(descriptor)


def sync_file(path: Path) -> None:
    _sync(path, sync_descriptor)


def sync_folder(path: Path) -> None:
    """Make renames and new names in ``path`` last."""
    _sync(path, os.fsync)


def _sync(path: Path, sync: Callable[[int], None]) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(
    path: Path, data: bytes, *, replace: Callable[[Path], bool] = lambda _path: True
) -> None:
    """Write a file whole or not at all: a temporary file, fsync, rename, fsync of the folder.

    What stands there is replaced if ``replace`` says so. Raises FileExistsError if not, OSError
    otherwise.
    """
    # The same name each time for the same target: what a killed run left is taken up by the next.
    temporary = (
        path.parent
        / f"{TEMPORARY_PREFIX}{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:12]}.tmp"
    )
    temporary.unlink(missing_ok=True)
    try:
        with os.fdopen(
            os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "wb"
        ) as file:
            file.write(data)
            file.flush()
            sync_descriptor(file.fileno())
        if os.path.lexists(path) and replace(path):
            temporary.replace(path)
        else:
            _publish(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def _publish(temporary: Path, path: Path) -> None:
    """Give ``temporary`` its name, failing when the name is taken.

    A hard link does that in one step.
    """
    try:
        os.link(temporary, path, follow_symlinks=False)
    except OSError as error:
        if error.errno not in (
            errno.EPERM,
            errno.ENOTSUP,
            errno.EOPNOTSUPP,
            errno.EINVAL,
            errno.ENOSYS,
        ):
            raise
        # No hard links on exFAT and many network shares: take the name with an empty file first.
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))
        temporary.replace(path)
