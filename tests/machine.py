"""One user's machine for the tests of healing: the store, the hub's cache, the cache of code."""

from __future__ import annotations

import os
from pathlib import Path

from ocrd.model.fetch_plan import ROOM, HealRequest
from ocrd.model.hashes import HashMemory
from ocrd.model.heal import Healer
from ocrd.model.progress import Meter, Progress
from ocrd.model.storage import ModelStorage
from ocrd.model.verify import Report, Wanted, verify
from tests.hub import etag_of
from tests.published import REPO


def room_for(size: int) -> int:
    """Free bytes that are just enough to bring so many."""
    return size + min(ROOM, size)


class Machine:
    """One user's folders: the store, the hub's cache, the cache of code."""

    def __init__(self, home: Path, revision: str) -> None:
        self.home = home
        self.places = ModelStorage(
            home / "models", REPO, revision, home / "hf/hub", home / "hf/modules"
        )
        self.memory = HashMemory(home / "hashes.json")
        self.told: list[Progress] = []
        self.free = 10**12

    @property
    def folder(self) -> Path:
        return self.places.final.path

    def healer(self, *, reset: bool = False, source: Path | None = None) -> Healer:
        wanted = Wanted(REPO, self.places.revision if len(self.places.revision) == 40 else None)
        meter = Meter(self.told.append, pause=0)
        return Healer(
            HealRequest(self.places, reset, source),
            wanted,
            self.memory,
            meter,
            lambda _: self.free,
            patience=0.2,
        )

    def heal(self, *, reset: bool = False, source: Path | None = None) -> Report:
        return self.healer(reset=reset, source=source).heal()

    def verified(self) -> Report:
        """With no memory: every byte is hashed."""
        return verify(self.folder, HashMemory(), wanted=Wanted(REPO), full=True)

    def contents(self) -> dict[str, bytes]:
        return (
            {p.name: p.read_bytes() for p in self.folder.iterdir()} if self.folder.exists() else {}
        )

    def cache(self, files: dict[str, bytes], commit: str, *, branch: str = "main") -> Path:
        """The files as huggingface_hub's cache holds them.

        Snapshots of links to blobs named by hash.
        """
        folder = self.places.cached.path
        snapshot = folder / "snapshots" / commit
        snapshot.mkdir(parents=True)
        (folder / "blobs").mkdir(exist_ok=True)
        (folder / "refs").mkdir(exist_ok=True)
        (folder / "refs" / branch).write_text(commit)
        for name, data in files.items():
            if "/" not in name:
                (folder / "blobs" / etag_of(data)).write_bytes(data)
                (snapshot / name).symlink_to(f"../../blobs/{etag_of(data)}")
        return snapshot


def flip(path: Path) -> None:
    """Change one byte and nothing else that a look at the file could tell."""
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
