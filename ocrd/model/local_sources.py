"""Copies of the model that are already on this machine, and what their records say of their bytes.

A record is what the hub reported when the copy was made: our `manifest.json`; the names of the
blobs in the hub's cache, which are their hashes; or the `.cache/huggingface` folder of `hf download
--local-dir`. Whatever is taken from a copy is hashed before it counts, so a wrong record can at
worst cause a useless download.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ocrd.errors import ModelError
from ocrd.model.manifest import (
    Manifest,
    ManifestEntry,
    is_commit,
    is_model_file,
    read_manifest,
)

# Hexadecimal digits. Git's blob ids have fewer.
_SHA256_LENGTH = 64

_LOCAL_DIR_RECORDS = Path(".cache/huggingface/download")


@dataclass(frozen=True)
class LocalCopy:
    """A folder with files of the model.

    Attributes:
        folder: The folder.
        manifest: Its record, None when it has none.
        linkable_root: Files below this folder may be hard-linked. None for a folder whose owner
            may edit the files.
    """

    folder: Path
    manifest: Manifest | None
    linkable_root: Path | None = None

    def find(self, name: str, entry: ManifestEntry) -> Path | None:
        """The file ``name``, if it has the right size."""
        path = self.folder / name
        with contextlib.suppress(OSError):
            # The snapshots of a hub cache are links to its blobs. Any target is accepted here,
            # because its hash decides.
            real = Path(os.path.realpath(path, strict=True)) if path.is_symlink() else path
            if real.is_file() and real.stat().st_size == entry.size:
                return real
        return None

    def may_link(self, path: Path, device: int) -> bool:
        """Whether ``path`` may get a hard link on the disk ``device``.

        It must be on that disk, in a folder whose files are not edited.
        """
        if self.linkable_root is None or path.stat().st_dev != device:
            return False
        root = os.path.realpath(self.linkable_root)
        return Path(os.path.realpath(path)).is_relative_to(root)


def copy_in_folder(folder: Path, repo: str, *, owned: bool = False) -> LocalCopy:
    """The copy in a model folder of ocrd (``owned``), or of ``hf download --local-dir``."""
    linkable_root = folder if owned else None
    with contextlib.suppress(ModelError):
        manifest = read_manifest(folder)
        if manifest is not None:
            return LocalCopy(folder, manifest, linkable_root)
    return LocalCopy(folder, _local_dir_manifest(folder, repo), linkable_root)


def copies_in_hub_cache(cache_folder: Path, repo: str, *, owned: bool = False) -> list[LocalCopy]:
    """The snapshots of one repository in a hub cache.

    Args:
        cache_folder: The repository's folder, ``models--ORG--NAME``.
        repo: The repository.
        owned: Whether it is this user's own cache.
    """
    linkable_root = cache_folder if owned else None
    return [
        LocalCopy(folder, _snapshot_manifest(folder, repo), linkable_root)
        for folder in _sub_folders(cache_folder / "snapshots")
        if is_commit(folder.name)
    ]


def cached_commit(cache_folder: Path, revision: str) -> str | None:
    """The commit of a branch or tag when the hub cache last asked for it."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return (cache_folder / "refs" / revision).read_text(encoding="ascii").strip()
    return None


def copies_at(path: Path, repo: str) -> list[LocalCopy]:
    """The copies at a path that the user named.

    It may be a model folder, a snapshot, a hub cache, or a folder around one.

    Raises:
        ModelError: There is none.
    """
    cache_name = f"models--{repo.replace('/', '--')}"
    found: list[LocalCopy] = []
    for cache_folder in (path, path / cache_name, path / "hub" / cache_name):
        found += copies_in_hub_cache(cache_folder, repo)
    if (path / "config.json").exists():
        if path.parent.name == "snapshots" and is_commit(path.name):
            found.append(LocalCopy(path, _snapshot_manifest(path, repo)))
        else:
            found.append(copy_in_folder(path, repo))
    if not found:
        raise ModelError(
            f"{path} contains no model and no hub cache of {repo}; name the folder that contains "
            "config.json"
        )
    return found


def _sub_folders(folder: Path) -> Iterator[Path]:
    with contextlib.suppress(OSError):
        yield from sorted(entry for entry in folder.iterdir() if entry.is_dir())


def _snapshot_manifest(folder: Path, repo: str) -> Manifest | None:
    """Each file of a snapshot is a link to a blob, whose name is its sha256 or git blob id."""
    files: dict[str, ManifestEntry] = {}
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if is_model_file(path.name) and path.is_symlink():
                entry = _entry(path, path.readlink().name)
                if entry is not None:
                    files[path.name] = entry
    return Manifest(repo, folder.name, files) if files else None


def _local_dir_manifest(folder: Path, repo: str) -> Manifest | None:
    """``NAME.metadata`` has three lines: the commit, the etag (a hash), and a time.

    Files of different commits are not a record of one revision.
    """
    files: dict[str, ManifestEntry] = {}
    commits = set()
    with contextlib.suppress(OSError, UnicodeDecodeError):
        for path in (folder / _LOCAL_DIR_RECORDS).glob("*.metadata"):
            name = path.name.removesuffix(".metadata")
            lines = path.read_text(encoding="ascii").split("\n")
            if not is_model_file(name) or len(lines) < 2:
                continue
            entry = _entry(folder / name, lines[1].strip())
            if entry is not None:
                files[name] = entry
                commits.add(lines[0].strip())
    if len(commits) != 1:
        return None
    commit = commits.pop()
    return Manifest(repo, commit, files) if is_commit(commit) else None


def _entry(path: Path, file_hash: str) -> ManifestEntry | None:
    """An entry with the file's present size, which may be wrong; None for an invalid hash."""
    with contextlib.suppress(OSError, ValueError):
        size = path.stat().st_size
        if len(file_hash) == _SHA256_LENGTH:
            return ManifestEntry(size, sha256=file_hash)
        return ManifestEntry(size, blob_id=file_hash)
    return None
