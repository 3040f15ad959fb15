"""Decide where each file of a new copy comes from, before anything is changed.

A dry run makes the same plan.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ocrd.errors import ModelError, ModelUnavailable
from ocrd.model import hub
from ocrd.model.local_sources import (
    LocalCopy,
    cached_commit,
    copies_at,
    copies_in_hub_cache,
    copy_in_folder,
)
from ocrd.model.manifest import Manifest, ManifestEntry, is_commit
from ocrd.model.owned_path import OwnedPath
from ocrd.model.storage import ModelStorage
from ocrd.paths import nearest_existing_folder

# ``staged``: downloaded before. ``link``: a hard link to a file on this disk.
FetchMethod = Literal["staged", "link", "copy", "fetch"]


@dataclass(frozen=True)
class HealRequest:
    """What to heal, and how.

    Attributes:
        storage: The model's paths.
        reset: Trust no copy on this machine: fetch everything, and remove every other copy.
        source: Use only this copy, and no network.
    """

    storage: ModelStorage
    reset: bool = False
    source: Path | None = None


@dataclass(frozen=True)
class FetchSource:
    """A file on this machine that may be the right one."""

    path: Path
    method: FetchMethod


@dataclass(frozen=True)
class FetchPlan:
    """Where each file comes from.

    Attributes:
        manifest: The files of the new copy.
        sources: For each file its sources on this machine, best first; none means a download.
        removals: With a reset, the other copies. They are removed when the new one is complete, or
            before where the disk has no room for both.
        hub_error: Why the hub could not be asked. Then nothing can be downloaded.
    """

    manifest: Manifest
    sources: Mapping[str, tuple[FetchSource, ...]]
    removals: tuple[OwnedPath, ...]
    hub_error: ModelUnavailable | None = None

    def best_source(self, name: str) -> FetchSource | None:
        """The first source of a file, None for a download."""
        return next(iter(self.sources[name]), None)

    def method(self, name: str) -> FetchMethod:
        """How a file is taken from its first source."""
        source = self.best_source(name)
        return source.method if source else "fetch"

    def bytes_by(self, *methods: FetchMethod) -> int:
        """The bytes that are taken by these methods, if every first source is correct."""
        files = self.manifest.files
        return sum(entry.size for name, entry in files.items() if self.method(name) in methods)


def make_fetch_plan(
    request: HealRequest, wrong_hashes: Mapping[str, str], *, reset_begun: bool = False
) -> FetchPlan:
    """Decide where each file comes from.

    Args:
        request: What to heal.
        wrong_hashes: By file name, the hashes that files of the installed model do not have.
        reset_begun: The staging folder was filled after a reset began, so it counts in a reset.

    Raises:
        ModelUnavailable: The hub cannot be asked, and this machine does not have every file.
        ModelError: The files cannot be found, and a retry cannot help.
    """
    planner = _Planner(request, wrong_hashes, reset_begun)
    if request.source is not None:
        return planner.from_source(request.source)
    storage = request.storage
    copies = [] if request.reset else _copies_on_this_machine(storage)
    try:
        manifest = hub.list_revision(storage.repo, storage.revision)
    except ModelUnavailable as error:
        return planner.without_hub(copies, error)
    return planner.plan(manifest, copies)


@dataclass(frozen=True)
class _Planner:
    request: HealRequest
    wrong_hashes: Mapping[str, str]
    reset_begun: bool

    def plan(
        self,
        manifest: Manifest,
        copies: Sequence[LocalCopy],
        *,
        hub_error: ModelUnavailable | None = None,
    ) -> FetchPlan:
        storage = self.request.storage
        device = nearest_existing_folder(storage.repo_folder).stat().st_dev
        sources = {
            name: tuple(self._sources(name, entry, copies=copies, device=device))
            for name, entry in manifest.files.items()
        }
        removals = storage.other_copies if self.request.reset else ()
        return FetchPlan(manifest, sources, removals, hub_error)

    def from_source(self, source: Path) -> FetchPlan:
        """From the copy at ``source`` alone, and from correct files of the installed model."""
        storage = self.request.storage
        copies = []
        if self.request.reset:
            _check_not_removed(source, storage.other_copies)
        else:
            copies.append(copy_in_folder(storage.installed.path, storage.repo, owned=True))
        copies += copies_at(source, storage.repo)
        manifest = _recorded_manifest(storage, copies, source=source)
        missing = [
            name
            for name, entry in manifest.files.items()
            if not any(copy.find(name, entry) for copy in copies)
        ]
        if missing:
            raise ModelError(
                f"{source} lacks {', '.join(missing[:3])} of {storage.repo}; nothing was changed"
            )
        return self.plan(manifest, copies)

    def without_hub(self, copies: Sequence[LocalCopy], error: ModelUnavailable) -> FetchPlan:
        """From the copies on this machine; raises ``error`` when they are not enough."""
        storage = self.request.storage
        commit = cached_commit(storage.hub_copy.path, storage.revision)
        for copy in copies:
            manifest = copy.manifest
            if manifest is None:
                continue
            if _is_requested(storage, manifest) or manifest.revision == commit:
                plan = self.plan(manifest, copies, hub_error=error)
                if plan.bytes_by("fetch") == 0:
                    return plan
        raise error

    def _sources(
        self, name: str, entry: ManifestEntry, *, copies: Sequence[LocalCopy], device: int
    ) -> list[FetchSource]:
        storage = self.request.storage
        found = []
        staged = storage.staging.path / name
        trusts_staged = self.reset_begun or not self.request.reset
        if trusts_staged and _is_plain_file_of_size(staged, entry.size):
            found.append(FetchSource(staged, "staged"))
        for copy in copies:
            is_installed = copy.folder == storage.installed.path
            if is_installed and self.wrong_hashes.get(name) == entry.hash:
                continue
            path = copy.find(name, entry)
            if path is not None:
                method: FetchMethod = "link" if copy.may_link(path, device) else "copy"
                found.append(FetchSource(path, method))
        return found


def _is_plain_file_of_size(path: Path, size: int) -> bool:
    return path.is_file() and not path.is_symlink() and path.stat().st_size == size


def _copies_on_this_machine(storage: ModelStorage) -> list[LocalCopy]:
    """The installed revisions, as most files stay the same between them, and the hub's cache."""
    folders = [storage.repo_folder / name for name in _installed_revisions(storage)]
    return [
        *(copy_in_folder(folder, storage.repo, owned=True) for folder in folders),
        *copies_in_hub_cache(storage.hub_copy.path, storage.repo, owned=True),
    ]


def _installed_revisions(storage: ModelStorage) -> list[str]:
    """The names of the revisions' folders, the requested one first."""
    if not storage.repo_folder.is_dir():
        return []
    names = [
        entry.name
        for entry in storage.repo_folder.iterdir()
        if "~" not in entry.name and entry.is_dir()
    ]
    return sorted(names, key=lambda name: name != storage.revision)


def _recorded_manifest(
    storage: ModelStorage, copies: Sequence[LocalCopy], *, source: Path
) -> Manifest:
    """The manifest of the first copy that is the requested model."""
    records = [copy.manifest for copy in copies if copy.manifest is not None]
    for manifest in records:
        # A branch may have pointed to another commit when the copy was made. A user who names a
        # copy means that copy.
        same_branch = not is_commit(storage.revision) and manifest.repo == storage.repo
        if same_branch or _is_requested(storage, manifest):
            return manifest
    if records:
        found = ", ".join(f"{record.repo} at {record.revision}" for record in records[:3])
        raise ModelError(
            f"{source} contains {found}, but {storage.repo} at {storage.revision} is wanted"
        )
    raise ModelError(
        f"{source} has no record of the hub's hashes (manifest.json, .cache/huggingface or a hub "
        "cache), so it is not known which model it is; to use it as it is, set model.path to it"
    )


def _is_requested(storage: ModelStorage, manifest: Manifest) -> bool:
    return manifest.repo == storage.repo and manifest.revision == storage.revision


def _check_not_removed(source: Path, removals: Sequence[OwnedPath]) -> None:
    """Raise ModelError when a reset from ``source`` would remove it."""
    real = Path(os.path.realpath(source))
    for removal in removals:
        other = Path(os.path.realpath(removal.path))
        if real.is_relative_to(other) or other.is_relative_to(real):
            raise ModelError(
                f"{source} is what --reset removes ({removal.path}); heal from it without --reset"
            )
