"""Bytes that survive a power cut."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path


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
