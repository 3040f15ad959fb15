"""Copies of the model that lie on this machine already, and what their own records say of their
bytes.

A record is the hub's word as it was kept: our `manifest.json`; the names of blobs in the hub's
cache, which are their hashes; or the `.cache/huggingface` folder that `hf download --local-dir`
leaves. Whatever is taken from a copy is hashed before it counts, so a record can at worst make us
fetch something in vain.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ocrd.errors import ModelError
from ocrd.model.manifest import Entry, Manifest, is_commit, is_wanted, read_manifest

# Hexadecimal digits; git's blob ids have fewer.
SHA256_LENGTH = 64
_RECORDS = Path(".cache/huggingface/download")


@dataclass(frozen=True)
class LocalCopy:
    folder: Path
    # Its record; None where it has none.
    manifest: Manifest | None
    # Files in here may become ours by a second name; None for a folder whose owner may edit them.
    store: Path | None = None

    def file(self, name: str, entry: Entry) -> Path | None:
        """Where ``name`` lies in it, if anything of the right size does."""
        path = self.folder / name
        with contextlib.suppress(OSError):
            # The cache's snapshots are links to its blobs; whatever a link leads to, its hash
            # decides.
            real = Path(os.path.realpath(path, strict=True)) if path.is_symlink() else path
            if real.is_file() and real.stat().st_size == entry.size:
                return real
        return None

    def may_link(self, path: Path, device: int) -> bool:
        """Whether ``path`` may get a second name on ``device``.

        It lies where nobody edits, on the same disk.
        """
        if self.store is None or path.stat().st_dev != device:
            return False
        return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(self.store))


def folder_copy(folder: Path, repo: str, *, ours: bool = False) -> LocalCopy:
    """A model folder of ours, or one that ``hf download --local-dir`` made."""
    store = folder if ours else None
    with contextlib.suppress(ModelError):
        if (manifest := read_manifest(folder)) is not None:
            return LocalCopy(folder, manifest, store)
    return LocalCopy(folder, _local_dir_record(folder, repo), store)


def cache_copies(repo_folder: Path, repo: str, *, ours: bool = False) -> list[LocalCopy]:
    """The snapshots of one repository in a hub cache (``models--ORG--NAME``).

    ``ours``: of this user's own cache.
    """
    return [
        LocalCopy(folder, _snapshot_record(folder, repo), repo_folder if ours else None)
        for folder in _folders(repo_folder / "snapshots") if is_commit(folder.name)
    ]  # fmt: skip


def cached_commit(repo_folder: Path, revision: str) -> str | None:
    """What a branch's or tag's name meant when the cache last heard of it."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return (repo_folder / "refs" / revision).read_text(encoding="ascii").strip()
    return None


def copies_at(path: Path, repo: str) -> list[LocalCopy]:
    """The copies at a path that the user named.

    A model folder, a snapshot, a hub cache, or a folder around one.

    Raises ModelError when there is none.
    """
    name = f"models--{repo.replace('/', '--')}"
    found: list[LocalCopy] = []
    for repo_folder in (path, path / name, path / "hub" / name):
        found += cache_copies(repo_folder, repo)
    if (path / "config.json").exists():
        in_cache = path.parent.name == "snapshots" and is_commit(path.name)
        found.append(
            LocalCopy(path, _snapshot_record(path, repo)) if in_cache else folder_copy(path, repo)
        )
    if not found:
        raise ModelError(
            f"{path} holds no model and no hub cache of {repo}; name the folder that holds config.json"
        )
    return found


def _folders(folder: Path) -> Iterator[Path]:
    with contextlib.suppress(OSError):
        yield from sorted(entry for entry in folder.iterdir() if entry.is_dir())


def _snapshot_record(folder: Path, repo: str) -> Manifest | None:
    """Each file is a link to a blob whose name is its sha256 or git blob id."""
    files: dict[str, Entry] = {}
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if (
                is_wanted(path.name)
                and path.is_symlink()
                and (entry := _entry(path, path.readlink().name))
            ):
                files[path.name] = entry
    return Manifest(repo, folder.name, files) if files else None


def _local_dir_record(folder: Path, repo: str) -> Manifest | None:
    """``NAME.metadata`` holds three lines.

    Commit, etag (the hash), a time. One commit for all, or it is no record.
    """
    files: dict[str, Entry] = {}
    commits = set()
    with contextlib.suppress(OSError, UnicodeDecodeError):
        for path in (folder / _RECORDS).glob("*.metadata"):
            name = path.name.removesuffix(".metadata")
            lines = path.read_text(encoding="ascii").split("\n")
            if (
                is_wanted(name)
                and len(lines) >= 2
                and (entry := _entry(folder / name, lines[1].strip()))
            ):
                files[name] = entry
                commits.add(lines[0].strip())
    if len(commits) != 1 or not is_commit(commit := commits.pop()):
        return None
    return Manifest(repo, commit, files)


def _entry(path: Path, name: str) -> Entry | None:
    """The size is what lies there.

    A wrong one shows when the hash is checked. None for a name that is no hash.
    """
    with contextlib.suppress(OSError, ValueError):
        size = path.stat().st_size
        return Entry(size, sha256=name) if len(name) == SHA256_LENGTH else Entry(size, blob_id=name)
    return None
