"""Make the model whole.

Fetch only what is broken; if that does not verify, fetch all anew and remove every copy.

Whatever happens on the way (no network, a full disk, `kill -9`), the folder that is loaded from
holds either the old files, untouched, or new ones of which every byte was hashed. What was fetched
waits in the staging folder for the next try.
"""

from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import structlog

from ocrd.errors import ModelError, ModelUnavailable
from ocrd.model import hub
from ocrd.model.fetch_plan import (
    FetchPlan,
    FetchSource,
    HealRequest,
    make_fetch_plan,
    must_remove_first,
    part_file,
    part_size,
)
from ocrd.model.hashes import HashMemory, signature
from ocrd.model.manifest import FILE as MANIFEST
from ocrd.model.manifest import Entry, Manifest, read_manifest, write_manifest
from ocrd.model.progress import Meter
from ocrd.model.staging import (
    link_or_copy,
    make_staging,
    recover,
    refuse_leftover,
    sole_healer,
    swap,
)
from ocrd.model.verify import Report, Wanted, bytes_to_hash, verify
from ocrd.paths import nearest_existing_folder

# Times that a file is fetched before its bytes are called wrong: one fault on the way is nobody's.
FETCHES = 2


class WrongBytes(ModelError):
    """The file was had again and again, and never was what the hub says it is."""


# What the file system will say again and again until somebody mends it.
LASTING = frozenset({
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP,
    errno.EINVAL,
})  # fmt: skip


def free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


@dataclass
class Healer:
    order: HealRequest
    wanted: Wanted
    memory: HashMemory
    meter: Meter
    free: Callable[[Path], int] = free_bytes
    # Seconds to wait while another process heals this model: short, so that who asks can say that
    # he waits.
    patience: float = 1.0
    # What was hashed in this process: an older memory may be what is wrong, and a second try need
    # not hash again.
    hashed: HashMemory = field(default_factory=HashMemory)
    _reset_begun: bool = field(default=False, init=False)

    def heal(self) -> Report:
        """The report of the model that stands in its folder afterwards, whole.

        Raises ModelUnavailable for what may pass, ModelError for what will not: the old folder is
        untouched then.
        """
        with self._said_in_a_sentence(), sole_healer(self.order.places, self.patience):
            return self._heal_alone()

    def preview(self) -> FetchPlan | None:
        """What `heal` would do.

        None when the model is whole. Hashes what is there, and changes nothing.

        Raises as `heal` does.
        """
        places = self.order.places
        with self._said_in_a_sentence():
            swapping = (
                places.old.exists() and not places.final.exists()
            )  # `heal` would put it back first
            report = self._looked_at((places.old if swapping else places.final).path)
            if report and report.ok:
                return None
            plan = make_fetch_plan(self.order, _refuted(report))
            self._removes_first(plan)
            return plan

    @contextlib.contextmanager
    def _said_in_a_sentence(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            said = f"healing the model in {self.order.places.final.path} was interrupted ({error})"
            if error.errno in LASTING:
                raise ModelError(
                    f"{said}; mend that file or folder, or set model.folder to another one"
                ) from error
            raise ModelUnavailable(f"{said}; what was fetched is kept") from error

    def _heal_alone(self) -> Report:
        places = self.order.places
        log = structlog.get_logger(component="model")
        recover(places)
        report = self._looked_at(places.final.path)
        if report and report.ok:
            return self._remembered(report)
        if not places.final.exists():
            log.info("there is no model yet; fetching it", folder=str(places.final.path))
        elif report:
            log.warning(
                "the model is broken", broken=[f"{c.name}: {c.found}" for c in report.failures]
            )
        refuse_leftover(places)
        plan = make_fetch_plan(self.order, _refuted(report), resumed=self._reset_begun)
        try:
            self._build(plan)
        except WrongBytes as error:
            if self.order.reset or self.order.source or plan.unreachable:
                raise
            log.warning(
                "healing did not help; fetching all anew and removing every other copy",
                error=str(error),
            )
            plan = make_fetch_plan(replace(self.order, reset=True), {})
            self._build(plan)
        seen = {name: signature(places.staging.path / name) for name in plan.manifest.files}
        swap(places)
        log.info(
            "the model is whole", folder=str(places.final.path), revision=plan.manifest.revision
        )
        for name, entry in plan.manifest.files.items():
            # Hashed under another path; size, time and inode tell that it is the same file.
            self.hashed.remember(places.final.path / name, entry, seen=seen[name])
        return self._remembered(self._verified(places.final.path, self.wanted))

    def _looked_at(self, folder: Path) -> Report | None:
        """Every byte of what is there; None when a reset does not care."""
        return None if self.order.reset else self._verified(folder, self.wanted)

    def _removes_first(self, plan: FetchPlan) -> bool:
        places = self.order.places
        return must_remove_first(
            plan, places, free=self.free(nearest_existing_folder(places.siblings))
        )

    def _build(self, plan: FetchPlan) -> None:
        """Fill the staging folder until every byte in it is right.

        For a reset, see that no other copy stays.
        """
        places = self.order.places
        files = plan.manifest.files
        first = self._removes_first(plan)
        if plan.removals and not self._reset_begun:
            places.staging.remove()
            self._reset_begun = True
        if first:
            self._remove_others(plan)
        parts = {
            part_file(places.staging.path, name, entry=entry).name for name, entry in files.items()
        }
        staging = make_staging(places, files, parts=parts)
        left = {name: list(sources) for name, sources in plan.sources.items()}
        fetches = dict.fromkeys(files, 0)
        missing = sorted(files)
        while missing:
            self._bring(plan, missing, left=left, fetches=fetches)
            write_manifest(staging, plan.manifest)
            report = self._verified(staging, replace(self.wanted, manifest=plan.manifest))
            missing = sorted({check.name for check in report.failures} & set(files))
            for name in missing:
                (staging / name).unlink(missing_ok=True)
            if not missing and not report.ok:
                self._refuse_contents(plan, report)
        self._remove_others(plan)
        make_staging(
            places, {*files, MANIFEST}, parts=()
        )  # no part of a download goes into the model

    def _remove_others(self, plan: FetchPlan) -> None:
        for place in plan.removals:
            place.remove()

    def _bring(
        self,
        plan: FetchPlan,
        missing: list[str],
        *,
        left: dict[str, list[FetchSource]],
        fetches: dict[str, int],
    ) -> None:
        """Put each missing file into the staging folder.

        From the next source that is left, else from the hub.
        """
        staging = self.order.places.staging.path
        files = plan.manifest.files
        here = [name for name in missing if left[name]]
        self.meter.begin("copying", sum(files[name].size for name in here))
        for name in here:
            if not self._take(left[name].pop(0), staging / name, entry=files[name]):
                self.meter.skip(files[name].size)
        there = [name for name in missing if not (staging / name).is_file() and not left[name]]
        self.meter.begin("fetching", sum(files[name].size for name in there))
        for name in there:
            if plan.unreachable or self.order.source:
                raise plan.unreachable or WrongBytes(
                    f"{self.order.source}: {name} is not what its own record says; the model is as it was"
                )
            if fetches[name] == FETCHES:
                raise WrongBytes(
                    f"{name} of {plan.manifest.repo} came {FETCHES} times with other bytes than the hub lists; "
                    "something on the way changes them. The model is as it was; try another network"
                )
            fetches[name] += 1
            self._fetch(plan.manifest, name)

    def _take(self, source: FetchSource, target: Path, *, entry: Entry) -> bool:
        try:
            if source.how != "staged":
                link_or_copy(
                    source.path, target, link=source.how == "link", on_bytes=self.meter.advance
                )
            if self.hashed.agrees(source.path, entry) and target.samefile(source.path):
                self.hashed.remember(
                    target, entry, seen=signature(target)
                )  # a second name for bytes that were hashed
        except OSError as error:
            structlog.get_logger(component="model").warning(
                "a copy cannot be used", file=str(source.path), error=str(error)
            )
            return False
        return True

    def _fetch(self, manifest: Manifest, name: str) -> None:
        staging = self.order.places.staging.path
        entry = manifest.files[name]
        part = part_file(staging, name, entry=entry)
        self.meter.skip(part_size(staging, name, entry=entry))
        hub.fetch(manifest, name, part=part, on_bytes=self.meter.advance)
        part.replace(staging / name)

    def _refuse_contents(self, plan: FetchPlan, report: Report) -> None:
        """Every byte is as listed, and still it is no model.

        Fetching it again would change nothing.
        """
        said = "; ".join(f"{c.name}: {c.found}" for c in report.failures[:3])
        if plan.unreachable:
            # the records on this machine are not complete, the hub's would be
            raise plan.unreachable
        if self.order.source:
            raise ModelError(
                f"{self.order.source} holds no whole model ({said}); the model is as it was"
            )
        raise ModelError(
            f"{plan.manifest.repo} at {plan.manifest.revision} is no model that ocrd can run ({said}); mend model.repo "
            "and model.revision"
        )

    def _verified(self, folder: Path, wanted: Wanted) -> Report:
        """Every byte hashed, once in this process."""
        self.meter.begin(
            "checking", bytes_to_hash(folder, self.hashed, full=False, manifest=wanted.manifest)
        )
        return verify(folder, self.hashed, wanted=wanted, full=False, on_bytes=self.meter.advance)

    def _remembered(self, report: Report) -> Report:
        """Keep for later quick looks what was hashed now."""
        report.raise_if_broken()
        manifest = read_manifest(report.folder)
        for name, entry in manifest.files.items() if manifest else ():
            self.memory.remember(report.folder / name, entry, seen=signature(report.folder / name))
        with contextlib.suppress(OSError):  # not to remember costs one hashing next time
            self.memory.save()
        return replace(report, full=True)


def _refuted(report: Report | None) -> dict[str, str]:
    """The hashes that files of the final folder were expected to have and do not."""
    files: Mapping[str, Entry] = {}
    with contextlib.suppress(ModelError):
        if report and (manifest := read_manifest(report.folder)):
            files = manifest.files
    broken = {check.name for check in report.failures} if report else set()
    return {name: entry.hash for name, entry in files.items() if name in broken}
