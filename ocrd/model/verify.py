"""Check that a model folder is complete and contains the expected model.

A quick verification (at each start) checks names, sizes, configuration, headers and tokenizer, and
trusts the hash cache for files that did not change. A full one (after a download, on request)
hashes every byte again. It finds one flipped bit anywhere, even when size and time did not change.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ocrd.errors import ModelError
from ocrd.model import remote_code_check
from ocrd.model.content_checks import check_contents
from ocrd.model.expected import ExpectedModel
from ocrd.model.hashes import HashCache, OnBytes, file_matches, file_signature, ignore_bytes
from ocrd.model.manifest import Manifest, ManifestEntry, read_manifest
from ocrd.model.report import Check, CheckState, Report

ANY_MODEL = ExpectedModel()


def verify(
    folder: Path,
    cache: HashCache,
    *,
    expected: ExpectedModel = ANY_MODEL,
    full: bool = False,
    on_bytes: OnBytes = ignore_bytes,
) -> Report:
    """Check ``folder``.

    Args:
        folder: The model folder.
        cache: The files whose hash is known; correct files are added to it.
        expected: What the folder should contain.
        full: Hash every file, also those in the cache.
        on_bytes: Called as files are hashed.

    Returns:
        The report. Whatever is wrong with the folder is in it, and never raised.
    """
    what = "a folder that contains the model"
    try:
        if not folder.is_dir():
            return Report(folder, full, (Check("folder", "fail", "does not exist", what),))
        hasher = _Hasher(cache, full, on_bytes)
        files = list(_check_files(folder, expected, hasher=hasher))
        correct = {check.name for check in files if check.state == "ok"}
        # Where no hash proves the code's file, the code itself shows which revision it is.
        code_decides = expected.is_pinned and remote_code_check.MODELING_FILE not in correct
        contents = check_contents(folder, code_decides=code_decides)
        return Report(folder, full, (*files, *contents))
    except OSError as error:  # an unreadable folder, for example
        found = f"cannot be read ({error.strerror or error})"
        return Report(folder, full, (Check("folder", "fail", found, what),))


def bytes_to_hash(
    folder: Path, cache: HashCache, *, full: bool, manifest: Manifest | None = None
) -> int:
    """Return how many bytes `verify` is going to hash, for a progress bar.

    Args:
        folder: The model folder.
        cache: As for `verify`.
        full: As for `verify`.
        manifest: The files to expect; None for the folder's own manifest.
    """
    try:
        manifest = manifest or read_manifest(folder)
    except ModelError:
        return 0
    files = manifest.files if manifest else {}
    return sum(
        entry.size
        for name, entry in files.items()
        if full or not _is_cached(folder / name, entry, cache=cache)
    )


@dataclass(frozen=True)
class _Hasher:
    cache: HashCache
    full: bool
    on_bytes: OnBytes


def _is_cached(path: Path, entry: ManifestEntry, *, cache: HashCache) -> bool:
    try:
        return cache.contains(path, entry)
    except OSError:
        return False


def _check_files(folder: Path, expected: ExpectedModel, *, hasher: _Hasher) -> Iterator[Check]:
    what = "the list of files and hashes from the hub"
    try:
        manifest = expected.manifest or read_manifest(folder)
    except ModelError as error:
        yield Check("manifest", "fail", str(error), what)
        return
    if manifest is None:
        # A folder that a user made has none. Then only its contents can be checked.
        state: CheckState = "warn" if expected.repo is None else "fail"
        yield Check("manifest", state, "none, so no hash can be checked", what)
        return
    yield _check_manifest(manifest, expected)
    for name, entry in sorted(manifest.files.items()):
        yield _check_file(folder / name, entry, hasher=hasher)


def _check_manifest(manifest: Manifest, expected: ExpectedModel) -> Check:
    same_repo = expected.repo in (None, manifest.repo)
    same_revision = expected.revision in (None, manifest.revision)
    revision = manifest.revision or "no revision"
    return Check(
        "manifest",
        "ok" if same_repo and same_revision else "fail",
        f"{manifest.repo} at {revision}, {len(manifest.files)} files",
        f"{expected.repo or 'any repository'} at {expected.revision or 'any revision'}",
    )


def _check_file(path: Path, entry: ManifestEntry, *, hasher: _Hasher) -> Check:
    name = path.name
    expected = f"{entry.size} bytes"
    try:
        if not path.is_file():
            return Check(name, "fail", "missing", expected, name)
        signature = file_signature(path)
        size = signature[0]
        if size != entry.size:
            return Check(name, "fail", f"{size} bytes", expected, name)
        if not hasher.full and hasher.cache.contains(path, entry):
            return Check(name, "ok", f"{size} bytes, not changed since it was hashed", expected)
        if file_matches(path, entry, on_bytes=hasher.on_bytes):
            hasher.cache.add(path, entry, signature=signature)
            return Check(name, "ok", f"{size} bytes, the hash is correct", expected)
    except OSError as error:
        return Check(name, "fail", f"cannot be read ({error.strerror or error})", expected, name)
    hasher.cache.discard(path)
    kind = "sha256" if entry.sha256 else "git blob"
    return Check(name, "fail", "the hash differs", f"{kind} {entry.hash[:12]}...", name)
