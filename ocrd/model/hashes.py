"""Hashes of large files, and a cache of the files whose hash was correct."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

from ocrd.files import write_atomically
from ocrd.model.manifest import ManifestEntry

# Read at a time: large enough that hashing takes the time, and not Python.
CHUNK_BYTES = 8 * 1024 * 1024

# Size, mtime_ns and inode. A file that still has them is assumed to be the one that was hashed.
Signature = tuple[int, int, int]

# Called with the number of bytes that were processed since the last call.
OnBytes = Callable[[int], None]


def ignore_bytes(_count: int) -> None:
    """Report no progress."""


def file_matches(path: Path, entry: ManifestEntry, *, on_bytes: OnBytes = ignore_bytes) -> bool:
    """Whether the file has the size and hash of ``entry``. Reads all of it; raises OSError."""
    if path.stat().st_size != entry.size:
        return False
    if entry.sha256 is not None:
        return _hash(path, hashlib.sha256(), on_bytes=on_bytes) == entry.sha256
    # Git names a file's content by a header with its size, then the bytes.
    git = hashlib.sha1(b"blob %d\0" % entry.size, usedforsecurity=False)
    return _hash(path, git, on_bytes=on_bytes) == entry.blob_id


def file_signature(path: Path) -> Signature:
    """Return the file's signature; raises OSError.

    Take it before hashing, so that a change during the hashing is not cached as correct.
    """
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ino


class HashCache:
    """The files whose hash was correct, by path, in one small JSON file.

    A lost or damaged cache file costs one hashing.
    """

    def __init__(self, file: Path | None = None) -> None:
        """Read the cache; without a file it lasts as long as the process."""
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

    def contains(self, path: Path, entry: ManifestEntry) -> bool:
        """Whether this file matched ``entry`` and did not change since; raises OSError."""
        return self._known.get(_key(path)) == [*file_signature(path), entry.hash]

    def add(self, path: Path, entry: ManifestEntry, *, signature: Signature) -> None:
        """Note that ``path`` matches ``entry``, as it was when ``signature`` was taken."""
        self._known[_key(path)] = [*signature, entry.hash]

    def discard(self, path: Path) -> None:
        """Forget ``path``."""
        self._known.pop(_key(path), None)

    def save(self) -> None:
        """Write the cache, without the files that do not exist any more; raises OSError."""
        if self._file is None:
            return
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        known = {path: value for path, value in self._known.items() if os.path.lexists(path)}
        write_atomically(self._file, json.dumps(known, indent=1).encode())


def _hash(path: Path, state: hashlib._Hash, *, on_bytes: OnBytes) -> str:
    buffer = memoryview(bytearray(CHUNK_BYTES))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            state.update(buffer[:count])
            on_bytes(count)
    return state.hexdigest()


def _key(path: Path) -> str:
    return str(path.absolute())
