"""One user's machine for the tests of healing: the store, the hub's cache, the cache of code."""

from __future__ import annotations

import os
from pathlib import Path

from ocrd.model.disk_space import RESERVE_BYTES
from ocrd.model.expected import ExpectedModel
from ocrd.model.fetch_plan import HealRequest
from ocrd.model.hashes import HashCache
from ocrd.model.heal import Healer
from ocrd.model.progress import ProgressMeter, TransferProgress
from ocrd.model.report import Report
from ocrd.model.storage import ModelStorage
from ocrd.model.verify import verify
from tests.hub import etag_of
from tests.published import REPO


def room_for(size: int) -> int:
    """Free bytes that are just enough to bring so many."""
    return size + min(RESERVE_BYTES, size)


class Machine:
    """One user's folders: the store, the hub's cache, the cache of code."""

    def __init__(self, home: Path, revision: str) -> None:
        self.home = home
        self.storage = ModelStorage(
            home / "models", REPO, revision, home / "hf/hub", home / "hf/modules"
        )
        self.memory = HashCache(home / "hashes.json")
        self.reports: list[TransferProgress] = []
        self.free = 10**12

    @property
    def folder(self) -> Path:
        return self.storage.installed.path

    def healer(self, *, reset: bool = False, source: Path | None = None) -> Healer:
        wanted = ExpectedModel(
            REPO, self.storage.revision if len(self.storage.revision) == 40 else None
        )
        meter = ProgressMeter(self.reports.append, interval_s=0)
        return Healer(
            HealRequest(self.storage, reset, source),
            wanted,
            self.memory,
            meter,
            lambda _: self.free,
            lock_timeout_s=0.2,
        )

    def heal(self, *, reset: bool = False, source: Path | None = None) -> Report:
        return self.healer(reset=reset, source=source).heal()

    def verified(self) -> Report:
        """With no memory: every byte is hashed."""
        return verify(self.folder, HashCache(), expected=ExpectedModel(REPO), full=True)

    def contents(self) -> dict[str, bytes]:
        return (
            {p.name: p.read_bytes() for p in self.folder.iterdir()} if self.folder.exists() else {}
        )

    def cache(self, files: dict[str, bytes], commit: str, *, branch: str = "main") -> Path:
        """The files as huggingface_hub's cache holds them.

        Snapshots of links to blobs named by hash.
        """
        folder = self.storage.hub_copy.path
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
