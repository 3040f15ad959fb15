"""Make the model complete: fetch what is broken, or fetch everything and remove all other copies.

Whatever happens (no network, a full disk, `kill -9`), the model's folder contains either the old
files, unchanged, or new ones of which every byte was hashed. What was downloaded stays in the
staging folder for the next try.
"""

from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import structlog

from ocrd.errors import ModelError, ModelUnavailable
from ocrd.model.assemble import Assembly, WrongBytes, verify_cached
from ocrd.model.disk_space import must_remove_first
from ocrd.model.expected import ExpectedModel
from ocrd.model.fetch_plan import FetchPlan, HealRequest, make_fetch_plan
from ocrd.model.hashes import HashCache, file_signature
from ocrd.model.manifest import read_manifest
from ocrd.model.progress import ProgressMeter
from ocrd.model.report import Report
from ocrd.model.staging import check_no_leftover, finish_interrupted_swap, healing_lock, swap
from ocrd.paths import nearest_existing_folder

_log = structlog.get_logger(component="model")

# What the file system reports again and again until the user does something.
PERMANENT_ERRNOS = frozenset(
    {
        errno.EACCES,
        errno.EEXIST,
        errno.EINVAL,
        errno.EISDIR,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.ENOTDIR,
        errno.EPERM,
        errno.EROFS,
    }
)

# Short, so that the caller can report that it waits.
LOCK_TIMEOUT_S = 1.0


def free_bytes(folder: Path) -> int:
    """The free space on the disk of ``folder``."""
    return shutil.disk_usage(folder).free


@dataclass
class Healer:
    """Heals one model.

    Attributes:
        request: What to heal.
        expected: What the model has to be.
        cache: Gets the hashes of the healed model, for later quick verifications.
        meter: Reports the progress.
        free_bytes: The free space on the disk of a folder.
        lock_timeout_s: How long to wait while another process heals this model.
        session_cache: The files that this process has hashed. Only these are trusted, as the other
            cache may be what is wrong. A second try need not hash them again.
    """

    request: HealRequest
    expected: ExpectedModel
    cache: HashCache
    meter: ProgressMeter
    free_bytes: Callable[[Path], int] = free_bytes
    lock_timeout_s: float = LOCK_TIMEOUT_S
    session_cache: HashCache = field(default_factory=HashCache)
    _reset_begun: bool = field(default=False, init=False)

    def heal(self) -> Report:
        """Make the model complete.

        Returns:
            The report on the complete model.

        Raises:
            ModelUnavailable: A retry may help. The old model is unchanged.
            ModelError: A retry cannot help. The old model is unchanged.
        """
        storage = self.request.storage
        with self._translate_disk_errors(), healing_lock(storage, self.lock_timeout_s):
            return self._heal_locked()

    def preview(self) -> FetchPlan | None:
        """Return what `heal` would do, None when the model is complete.

        Hashes the installed model, and changes nothing.

        Raises:
            ModelUnavailable, ModelError: As for `heal`.
        """
        storage = self.request.storage
        with self._translate_disk_errors():
            # `heal` would first restore a model whose swap was interrupted.
            interrupted = storage.replaced.exists() and not storage.installed.exists()
            folder = storage.replaced if interrupted else storage.installed
            report = self._verify_installed(folder.path)
            if report and report.ok:
                return None
            plan = make_fetch_plan(self.request, _wrong_hashes(report))
            self._must_remove_first(plan)
            return plan

    @contextlib.contextmanager
    def _translate_disk_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            folder = self.request.storage.installed.path
            message = f"healing the model in {folder} failed ({error})"
            if error.errno in PERMANENT_ERRNOS:
                raise ModelError(
                    f"{message}; correct that file or folder, or set model.folder to another one"
                ) from error
            raise ModelUnavailable(f"{message}; what was downloaded is kept") from error

    def _heal_locked(self) -> Report:
        storage = self.request.storage
        finish_interrupted_swap(storage)
        report = self._verify_installed(storage.installed.path)
        if report and report.ok:
            return self._save_hashes(report)
        if not storage.installed.exists():
            _log.info("there is no model yet; fetching it", folder=str(storage.installed.path))
        elif report:
            broken = [f"{check.name}: {check.found}" for check in report.failures]
            _log.warning("the model is broken", broken=broken)
        check_no_leftover(storage)
        plan = self._assemble(_wrong_hashes(report))
        self._install(plan)
        complete = verify_cached(
            storage.installed.path, self.session_cache, expected=self.expected, meter=self.meter
        )
        return self._save_hashes(complete)

    def _verify_installed(self, folder: Path) -> Report | None:
        """Hash the installed model; None for a reset, which does not depend on it."""
        if self.request.reset:
            return None
        return verify_cached(folder, self.session_cache, expected=self.expected, meter=self.meter)

    def _assemble(self, wrong_hashes: dict[str, str]) -> FetchPlan:
        """Assemble a new copy: from the correct files first, and by a reset if that fails."""
        plan = make_fetch_plan(self.request, wrong_hashes, reset_begun=self._reset_begun)
        try:
            self._follow(plan, self.request)
        except WrongBytes as error:
            if self.request.reset or self.request.source or plan.hub_error:
                raise
            _log.warning(
                "healing failed; fetching everything and removing every other copy",
                error=str(error),
            )
            reset = replace(self.request, reset=True)
            plan = make_fetch_plan(reset, {})
            self._follow(plan, reset)
        return plan

    def _follow(self, plan: FetchPlan, request: HealRequest) -> None:
        """Assemble the plan's files, and remove the copies that it names."""
        remove_first = self._must_remove_first(plan)
        if plan.removals and not self._reset_begun:
            self.request.storage.staging.remove()
            self._reset_begun = True
        if remove_first:
            _remove_other_copies(plan)
        Assembly(plan, request, self.expected, self.session_cache, self.meter).run()
        _remove_other_copies(plan)

    def _must_remove_first(self, plan: FetchPlan) -> bool:
        storage = self.request.storage
        free = self.free_bytes(nearest_existing_folder(storage.repo_folder))
        return must_remove_first(plan, storage, free_bytes=free)

    def _install(self, plan: FetchPlan) -> None:
        """Replace the model by the staging folder."""
        storage = self.request.storage
        files = plan.manifest.files
        staging = storage.staging.path
        signatures = {name: file_signature(staging / name) for name in files}
        swap(storage)
        _log.info(
            "the model is complete",
            folder=str(storage.installed.path),
            revision=plan.manifest.revision,
        )
        for name, entry in files.items():
            # The same file under its new path: size, time and inode have not changed.
            self.session_cache.add(storage.installed.path / name, entry, signature=signatures[name])

    def _save_hashes(self, report: Report) -> Report:
        """Keep the hashes for later quick verifications."""
        report.raise_if_broken()
        manifest = read_manifest(report.folder)
        for name, entry in manifest.files.items() if manifest else ():
            path = report.folder / name
            self.cache.add(path, entry, signature=file_signature(path))
        with contextlib.suppress(OSError):  # an unsaved cache costs one hashing
            self.cache.save()
        return replace(report, full=True)


def _remove_other_copies(plan: FetchPlan) -> None:
    for copy in plan.removals:
        copy.remove()


def _wrong_hashes(report: Report | None) -> dict[str, str]:
    """The hashes that files of the installed model should have and do not, by file name."""
    if report is None:
        return {}
    manifest = None
    with contextlib.suppress(ModelError):
        manifest = read_manifest(report.folder)
    files = manifest.files if manifest else {}
    broken = {check.name for check in report.failures}
    return {name: entry.hash for name, entry in files.items() if name in broken}
