"""One user's machine for the tests of healing: the models, the hub's cache, the cache of code."""

from __future__ import annotations

import os
from pathlib import Path

from ocrd.model.disk_space import RESERVE_BYTES
from ocrd.model.expected import ExpectedModel
from ocrd.model.fetch_plan import HealRequest
from ocrd.model.hashes import HashCache
from ocrd.model.heal import Healer
from ocrd.model.manifest import is_commit
from ocrd.model.progress import ProgressMeter, TransferProgress
from ocrd.model.report import Report
from ocrd.model.storage import ModelStorage
from ocrd.model.verify import verify
from tests.hub import etag_of
from tests.published import REPO


def room_for(size: int) -> int:
    """The free bytes that are just enough to add so many."""
    return size + min(RESERVE_BYTES, size)


class Machine:
    """The folders of one user, and a healer for them.

    Attributes:
        reports: The progress that healers reported.
        free_bytes: The free space that healers find.
    """

    def __init__(self, home: Path, revision: str) -> None:
        self.home = home
        self.storage = ModelStorage(
            home / "models", REPO, revision, home / "hf/hub", home / "hf/modules"
        )
        self.cache = HashCache(home / "hashes.json")
        self.reports: list[TransferProgress] = []
        self.free_bytes = 10**12

    @property
    def folder(self) -> Path:
        return self.storage.installed.path

    def healer(self, *, reset: bool = False, source: Path | None = None) -> Healer:
        revision = self.storage.revision
        return Healer(
            HealRequest(self.storage, reset, source),
            ExpectedModel(REPO, revision if is_commit(revision) else None),
            self.cache,
            ProgressMeter(self.reports.append, interval_s=0),
            free_bytes=lambda _folder: self.free_bytes,
            lock_timeout_s=0.2,
        )

    def heal(self, *, reset: bool = False, source: Path | None = None) -> Report:
        return self.healer(reset=reset, source=source).heal()

    def verify(self) -> Report:
        """Hash every byte of the installed model."""
        return verify(self.folder, HashCache(), expected=ExpectedModel(REPO), full=True)

    def contents(self) -> dict[str, bytes]:
        if not self.folder.exists():
            return {}
        return {path.name: path.read_bytes() for path in self.folder.iterdir()}

    def fill_hub_cache(self, files: dict[str, bytes], commit: str, *, branch: str = "main") -> Path:
        """Put files into the hub's cache as huggingface_hub does.

        Returns:
            The snapshot: links to blobs that are named by their hash.
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


def flip_byte(path: Path) -> None:
    """Change one byte, and nothing that a file's status shows."""
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
