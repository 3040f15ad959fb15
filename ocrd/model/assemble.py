"""Fill the staging folder with a new copy: copy, download and hash until every byte is correct."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import structlog

from ocrd.errors import ModelError
from ocrd.model import hub
from ocrd.model.expected import ExpectedModel
from ocrd.model.fetch_plan import FetchPlan, FetchSource, HealRequest
from ocrd.model.hashes import HashCache, file_signature
from ocrd.model.manifest import MANIFEST_FILE, ManifestEntry, write_manifest
from ocrd.model.progress import ProgressMeter
from ocrd.model.report import Report
from ocrd.model.staging import link_or_copy, partial_bytes, partial_path, prepare_staging
from ocrd.model.verify import bytes_to_hash, verify

_log = structlog.get_logger(component="model")

# Downloads of a file before its bytes count as wrong. One fault on the way can happen.
MAX_DOWNLOADS = 2


class WrongBytes(ModelError):
    """Every source of a file has other bytes than the hub lists."""


@dataclass
class Assembly:
    """One new copy in the staging folder.

    Attributes:
        plan: Where each file comes from.
        request: What is healed.
        expected: What the new copy has to be.
        cache: The files that this process has hashed.
        meter: Reports the progress.
    """

    plan: FetchPlan
    request: HealRequest
    expected: ExpectedModel
    cache: HashCache
    meter: ProgressMeter
    _sources_left: dict[str, list[FetchSource]] = field(default_factory=dict, init=False)
    _downloads: dict[str, int] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self._sources_left = {name: list(found) for name, found in self.plan.sources.items()}
        self._downloads = dict.fromkeys(self.plan.manifest.files, 0)

    def run(self) -> None:
        """Fill the staging folder, and leave nothing else in it.

        Raises:
            WrongBytes: Every source of a file has wrong bytes.
            ModelUnavailable: A download failed; what was downloaded is kept.
            ModelError: Every byte is correct, but it is not a model that ocrd can run.
            OSError: The disk failed.
        """
        storage = self.request.storage
        files = self.plan.manifest.files
        partial = {
            partial_path(storage.staging.path, name, entry=entry).name
            for name, entry in files.items()
        }
        staging = prepare_staging(storage, files, partial=partial)
        expected = replace(self.expected, manifest=self.plan.manifest)
        missing = sorted(files)
        while missing:
            self._copy(missing, staging)
            self._download(missing, staging)
            write_manifest(staging, self.plan.manifest)
            report = verify_cached(staging, self.cache, expected=expected, meter=self.meter)
            missing = sorted({check.name for check in report.failures} & set(files))
            for name in missing:
                (staging / name).unlink(missing_ok=True)
            if not missing and not report.ok:
                self._raise_wrong_contents(report)
        prepare_staging(storage, {*files, MANIFEST_FILE}, partial=())

    def _copy(self, missing: list[str], staging: Path) -> None:
        """Take each file from its next source on this machine, if there is one."""
        files = self.plan.manifest.files
        available = [name for name in missing if self._sources_left[name]]
        self.meter.start_phase("copying", sum(files[name].size for name in available))
        for name in available:
            source = self._sources_left[name].pop(0)
            if not self._copy_file(source, staging / name, entry=files[name]):
                self.meter.skip(files[name].size)

    def _copy_file(self, source: FetchSource, target: Path, *, entry: ManifestEntry) -> bool:
        try:
            if source.method != "staged":
                link = source.method == "link"
                link_or_copy(source.path, target, link=link, on_bytes=self.meter.advance)
            if self.cache.contains(source.path, entry) and target.samefile(source.path):
                # A second name for bytes that were hashed.
                self.cache.add(target, entry, signature=file_signature(target))
        except OSError as error:
            _log.warning("a copy cannot be used", file=str(source.path), error=str(error))
            return False
        return True

    def _download(self, missing: list[str], staging: Path) -> None:
        """Download each file that is still missing and has no source left on this machine."""
        manifest = self.plan.manifest
        needed = [
            name
            for name in missing
            if not (staging / name).is_file() and not self._sources_left[name]
        ]
        self.meter.start_phase("fetching", sum(manifest.files[name].size for name in needed))
        for name in needed:
            self._check_may_download(name)
            self._downloads[name] += 1
            entry = manifest.files[name]
            target = partial_path(staging, name, entry=entry)
            self.meter.skip(partial_bytes(staging, name, entry=entry))
            hub.fetch(manifest, name, target=target, on_bytes=self.meter.advance)
            target.replace(staging / name)

    def _check_may_download(self, name: str) -> None:
        if self.plan.hub_error:
            raise self.plan.hub_error
        if self.request.source:
            raise WrongBytes(
                f"{self.request.source}: the hash of {name} is not the one in its own record; "
                "the installed model was not changed"
            )
        if self._downloads[name] == MAX_DOWNLOADS:
            raise WrongBytes(
                f"{name} of {self.plan.manifest.repo} was downloaded {MAX_DOWNLOADS} times with "
                "other bytes than the hub lists; something on the network changes them. The "
                "installed model was not changed; try another network"
            )

    def _raise_wrong_contents(self, report: Report) -> None:
        """Every byte is as listed, so another download would change nothing."""
        found = "; ".join(f"{check.name}: {check.found}" for check in report.failures[:3])
        if self.plan.hub_error:
            # The records on this machine are incomplete; the hub's would not be.
            raise self.plan.hub_error
        if self.request.source:
            raise ModelError(
                f"{self.request.source} contains no complete model ({found}); the installed model "
                "was not changed"
            )
        manifest = self.plan.manifest
        raise ModelError(
            f"{manifest.repo} at {manifest.revision} is not a model that ocrd can run ({found}); "
            "correct model.repo and model.revision"
        )


def verify_cached(
    folder: Path, cache: HashCache, *, expected: ExpectedModel, meter: ProgressMeter
) -> Report:
    """Verify ``folder``; hash only the files that are not in ``cache``, with progress."""
    size = bytes_to_hash(folder, cache, full=False, manifest=expected.manifest)
    meter.start_phase("checking", size)
    return verify(folder, cache, expected=expected, full=False, on_bytes=meter.advance)
