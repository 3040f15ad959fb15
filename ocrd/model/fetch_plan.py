"""What healing is going to do, decided before anything is touched.

The same for a dry run and a real one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ocrd.errors import ModelError, ModelUnavailable
from ocrd.model import hub
from ocrd.model.local_sources import LocalCopy, cache_copies, cached_commit, copies_at, folder_copy
from ocrd.model.manifest import Entry, Manifest, is_commit
from ocrd.model.storage import ModelStorage, OwnedPath
from ocrd.paths import nearest_existing_folder
from ocrd.units import format_size

How = Literal["staged", "link", "copy", "fetch"]
# Bytes that stay free beyond what the model needs: a full disk stops more than ocrd. As much again
# for small needs.
ROOM = 64 * 1024 * 1024


@dataclass(frozen=True)
class HealRequest:
    """What is to be healed, and by which way."""

    places: ModelStorage
    # Nothing on this machine is trusted: every copy is removed and everything fetched.
    reset: bool = False
    # Take it from here and nowhere else; no network.
    source: Path | None = None


@dataclass(frozen=True)
class FetchSource:
    """A file on this machine that may be the one that is wanted."""

    path: Path
    how: How


@dataclass(frozen=True)
class FetchPlan:
    manifest: Manifest
    # For each file where it may be had, best first; none means that it is fetched.
    sources: Mapping[str, tuple[FetchSource, ...]]
    # Every other copy, for a reset: removed when the new one is whole, or before where there is no
    # room for both.
    removals: tuple[OwnedPath, ...]
    # Why the hub was not asked: then nothing can be fetched.
    unreachable: ModelUnavailable | None = None

    def first(self, name: str) -> FetchSource | None:
        return next(iter(self.sources[name]), None)

    def bytes_by(self, *hows: How) -> int:
        """How much comes by these ways, if every source proves good."""
        return sum(e.size for name, e in self.manifest.files.items() if self.how(name) in hows)

    def how(self, name: str) -> How:
        source = self.first(name)
        return source.how if source else "fetch"


def make_fetch_plan(
    order: HealRequest, refuted: Mapping[str, str], *, resumed: bool = False
) -> FetchPlan:
    """Decide where each file comes from.

    ``refuted``: hashes that files of the final folder were found not to have.

    ``resumed``: what is in the staging folder came after a reset began, so it counts in a reset
    too.

    Raises ModelUnavailable when it cannot be had now, ModelError when it never can.
    """
    places = order.places
    if order.source is not None:
        if order.reset:
            _refuse_source_in(places.reset, order.source)
        mine = [] if order.reset else [folder_copy(places.final.path, places.repo, ours=True)]
        copies = [*mine, *copies_at(order.source, places.repo)]
        manifest = _from_records(order, copies)
        missing = [
            name
            for name, entry in manifest.files.items()
            if not any(c.file(name, entry) for c in copies)
        ]
        if missing:
            raise ModelError(
                f"{order.source} lacks {', '.join(missing[:3])} of {places.repo}; nothing was changed"
            )
        return _planned(order, manifest, copies=copies, refuted=refuted, resumed=resumed)
    copies = [] if order.reset else _copies_here(places)
    try:
        return _planned(
            order,
            hub.list_revision(places.repo, places.revision),
            copies=copies,
            refuted=refuted,
            resumed=resumed,
        )
    except ModelUnavailable as error:
        return _without_hub(order, copies, refuted=refuted, error=error)


def _planned(
    order: HealRequest,
    manifest: Manifest,
    *,
    copies: list[LocalCopy],
    refuted: Mapping[str, str],
    resumed: bool,
    unreachable: ModelUnavailable | None = None,
) -> FetchPlan:
    with_staged = resumed or not order.reset
    device = nearest_existing_folder(order.places.siblings).stat().st_dev
    sources = {
        name: tuple(
            _sources(
                order.places,
                name,
                entry=entry,
                copies=copies,
                refuted=refuted,
                with_staged=with_staged,
                device=device,
            )
        )
        for name, entry in manifest.files.items()
    }
    return FetchPlan(manifest, sources, order.places.reset if order.reset else (), unreachable)


def _sources(
    places: ModelStorage,
    name: str,
    *,
    entry: Entry,
    copies: list[LocalCopy],
    refuted: Mapping[str, str],
    with_staged: bool,
    device: int,
) -> list[FetchSource]:
    found = []
    staged = places.staging.path / name
    if (
        with_staged
        and staged.is_file()
        and not staged.is_symlink()
        and staged.stat().st_size == entry.size
    ):
        found.append(FetchSource(staged, "staged"))
    for copy in copies:
        if copy.folder == places.final.path and refuted.get(name) == entry.hash:
            continue
        if (path := copy.file(name, entry)) is not None:
            found.append(FetchSource(path, "link" if copy.may_link(path, device) else "copy"))
    return found


def _copies_here(places: ModelStorage) -> list[LocalCopy]:
    """Other revisions of ours, for most files stay the same from one to the next, and the hub's
    cache.
    """
    siblings = [places.siblings / name for name in _revisions(places)]
    return [
        *(folder_copy(folder, places.repo, ours=True) for folder in siblings),
        *cache_copies(places.cached.path, places.repo, ours=True),
    ]


def _revisions(places: ModelStorage) -> list[str]:
    if not places.siblings.is_dir():
        return []
    names = [
        entry.name
        for entry in places.siblings.iterdir()
        if "~" not in entry.name and entry.is_dir()
    ]
    return sorted(names, key=lambda name: name != places.revision)


def _without_hub(
    order: HealRequest,
    copies: list[LocalCopy],
    *,
    refuted: Mapping[str, str],
    error: ModelUnavailable,
) -> FetchPlan:
    """What is on this machine may be enough. Raises ``error`` when it is not."""
    commit = cached_commit(order.places.cached.path, order.places.revision)
    for copy in copies:
        manifest = copy.manifest
        if manifest is None or not (
            _is_wanted(order.places, manifest) or manifest.revision == commit
        ):
            continue
        plan = _planned(
            order, manifest, copies=copies, refuted=refuted, resumed=False, unreachable=error
        )
        if plan.bytes_by("fetch") == 0:
            return plan
    raise error


def _from_records(order: HealRequest, copies: list[LocalCopy]) -> Manifest:
    places = order.places
    records = [copy.manifest for copy in copies if copy.manifest is not None]
    for manifest in records:
        # A branch may have meant another commit when the copy was made; who names a copy means that
        # copy.
        if _is_wanted(places, manifest) or (
            not is_commit(places.revision) and manifest.repo == places.repo
        ):
            return manifest
    if records:
        said = ", ".join(f"{m.repo} at {m.revision}" for m in records[:3])
        raise ModelError(
            f"{order.source} holds {said}, but {places.repo} at {places.revision} is wanted"
        )
    raise ModelError(
        f"{order.source} has no record of the hub's hashes (manifest.json, .cache/huggingface or a hub cache), so "
        "nothing shows which model it is; to use it as it is, set model.path to it"
    )


def _is_wanted(places: ModelStorage, manifest: Manifest) -> bool:
    return manifest.repo == places.repo and manifest.revision == places.revision


def _refuse_source_in(removed: tuple[OwnedPath, ...], source: Path) -> None:
    real = Path(os.path.realpath(source))
    for place in removed:
        theirs = Path(os.path.realpath(place.path))
        if real.is_relative_to(theirs) or theirs.is_relative_to(real):
            raise ModelError(
                f"{source} is what --reset removes ({place.path}); heal from it without --reset"
            )


def must_remove_first(plan: FetchPlan, places: ModelStorage, *, free: int) -> bool:
    """Whether the new copy fits only when the others are gone.

    Raises ModelUnavailable that says how much is missing, when it does not fit at all: before
    anything is touched.
    """
    here = sum(part_size(places.staging.path, name, entry=entry) for name, entry in plan.manifest.files.items()
               if plan.how(name) == "fetch")  # fmt: skip
    needed = plan.bytes_by("fetch", "copy") - here
    needed += min(ROOM, max(0, needed))
    device = nearest_existing_folder(places.siblings).stat().st_dev
    freed = sum(
        place.size()
        for place in plan.removals
        if place.exists() and place.path.stat().st_dev == device
    )
    if needed > free + freed:
        raise ModelUnavailable(
            f"the model needs {format_size(needed)} on the disk of {places.store}, which has "
            f"{format_size(free)} free: {format_size(needed - free - freed)} are missing. Free "
            "some space, or set model.folder to a folder on another disk",
            soon=False,
        )
    return needed > free


def part_file(staging: Path, name: str, *, entry: Entry) -> Path:
    """Where a file's first bytes wait for the rest.

    Under its hash, so that another revision's are not continued.
    """
    return staging / f"{name}.{entry.hash[:16]}.part"


def part_size(staging: Path, name: str, *, entry: Entry) -> int:
    try:
        return part_file(staging, name, entry=entry).stat().st_size
    except OSError:
        return 0
