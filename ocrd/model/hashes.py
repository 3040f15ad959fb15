"""Hashes of large files, and the memory of them.

(size, mtime_ns, inode) tells whether a file was hashed before.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

from ocrd.files import write_atomically
from ocrd.model.manifest import Entry

# Bytes at a time: large enough that hashing takes the time, and not Python.
CHUNK = 8 * 1024 * 1024

# size, mtime_ns, inode: a file that still has them is taken to be the one that was hashed.
Signature = list[int]

# Told how many more bytes were worked through.
OnBytes = Callable[[int], None]


def ignore_bytes(_count: int) -> None:
    """Nobody wants to know."""


def hash_as(entry: Entry, path: Path, *, on_bytes: OnBytes = ignore_bytes) -> bool:
    """Whether the file's bytes are those that ``entry`` means. Reads all of it; raises OSError."""
    if path.stat().st_size != entry.size:
        return False
    if entry.sha256 is not None:
        return digest(path, hashlib.sha256(), on_bytes=on_bytes) == entry.sha256
    # git's name of a file's content: a header with its size, then the bytes.
    git = hashlib.sha1(b"blob %d\0" % entry.size, usedforsecurity=False)
    return digest(path, git, on_bytes=on_bytes) == entry.blob_id


def digest(path: Path, state: hashlib._Hash, *, on_bytes: OnBytes = ignore_bytes) -> str:
    """The hex digest of a file on top of ``state``."""
    buffer = memoryview(bytearray(CHUNK))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            state.update(buffer[:count])
            on_bytes(count)
    return state.hexdigest()


class HashMemory:
    """Which files were found right, by path, in one small JSON file.

    A lost or broken memory costs one hashing.
    """

    def __init__(self, file: Path | None = None) -> None:
        """Without a file it lasts as long as the process."""
        self._file = file
        self._known: dict[str, list[object]] = {}
        if file is None:
            return
        try:
            known = json.loads(file.read_bytes()) if file.is_file() else {}
        except (OSError, ValueError, RecursionError):
            return
        if isinstance(known, dict):
            self._known = {k: v for k, v in known.items() if isinstance(v, list)}

    def agrees(self, path: Path, entry: Entry) -> bool:
        """Whether this file, unchanged since, was found to be ``entry``."""
        return self._known.get(_key(path)) == [*signature(path), entry.hash]

    def remember(self, path: Path, entry: Entry, *, seen: Signature) -> None:
        """Keep that ``path``, as it was when ``seen`` was taken before hashing, is ``entry``."""
        self._known[_key(path)] = [*seen, entry.hash]

    def forget(self, path: Path) -> None:
        self._known.pop(_key(path), None)

    def save(self) -> None:
        """Write the memory, whole or not at all."""
        if self._file is None:
            return
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        known = {path: value for path, value in self._known.items() if os.path.lexists(path)}
        write_atomically(self._file, json.dumps(known, indent=1).encode())


def signature(path: Path) -> Signature:
    """Take it before hashing, so that a change meanwhile is not remembered as right.

    Raises OSError.
    """
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ino]


def _key(path: Path) -> str:
    return str(path.absolute())
