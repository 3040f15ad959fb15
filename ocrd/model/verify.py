"""Is the model whole, and the right one? A list of named checks, each with what was found and
what was expected.

Quick (each start): names, sizes, configuration, headers, tokenizer, and the hashes that are
remembered for files that have not changed since. Full (after a download, on request): every byte is
hashed again, so that one flipped bit anywhere is found even when size and time say nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ocrd.checkpoint_format.architecture import (
    ARCHITECTURE_PREFIX,
    MODEL_TYPE,
    Architecture,
    read_architecture,
)
from ocrd.checkpoint_format.published_tensors import check_tensors
from ocrd.checkpoint_format.weight_files import find_weight_files, read_headers
from ocrd.config import PINNED_REPO, PINNED_REVISION, POCKET, ModelConfig
from ocrd.errors import ModelError
from ocrd.model import remote_code_check as published_code
from ocrd.model.hashes import HashMemory, OnBytes, hash_as, ignore_bytes, signature
from ocrd.model.manifest import Entry, Manifest, is_commit, read_manifest
from ocrd.units import format_size

State = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Check:
    name: str
    state: State
    found: str
    expected: str
    # The file that has to be fetched again, where there is one.
    file: str | None = None


@dataclass(frozen=True)
class Report:
    folder: Path
    full: bool
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        return not self.failures

    @property
    def failures(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if check.state == "fail")

    @property
    def broken_files(self) -> frozenset[str]:
        return frozenset(check.file for check in self.failures if check.file)

    def raise_if_broken(self) -> None:
        """Raises ModelError with the first failures in one sentence."""
        if self.failures:
            said = "; ".join(
                f"{c.name}: {c.found}, expected {c.expected}" for c in self.failures[:3]
            )
            more = f" and {len(self.failures) - 3} more" if len(self.failures) > 3 else ""
            raise ModelError(f"the model in {self.folder} is broken: {said}{more}")


@dataclass(frozen=True)
class Wanted:
    """What the configuration asks for; None where anything will do."""

    repo: str | None = None
    revision: str | None = None
    # The revision is ocrd's own, so its modeling code is known to be the mended one.
    pinned: bool = False
    # What to hold the files against; the folder's own where this is None.
    manifest: Manifest | None = None


def wanted_by(model: ModelConfig) -> Wanted:
    """What the configuration promises about the folder.

    Nothing about one that somebody made by hand.
    """
    if model.path == POCKET:
        return Wanted(repo="ocrd/pocket")
    if model.path is not None:
        return Wanted()
    commit = model.revision if is_commit(model.revision) else None  # a branch moves on
    return Wanted(
        model.repo, commit, pinned=(model.repo, model.revision) == (PINNED_REPO, PINNED_REVISION)
    )


def verify(
    folder: Path,
    memory: HashMemory,
    *,
    wanted: Wanted = Wanted(),
    full: bool = False,
    on_bytes: OnBytes = ignore_bytes,
) -> Report:
    """Examine ``folder``; never raises for what is in it, the report says it all."""
    what = "a folder that holds the model"
    try:
        if not folder.is_dir():
            return Report(folder, full, (Check("folder", "fail", "not there", what),))
        return _examined(folder, memory, wanted=wanted, full=full, on_bytes=on_bytes)
    except OSError as error:  # a folder that may not be looked into, say
        return Report(
            folder,
            full,
            (Check("folder", "fail", f"cannot be read ({error.strerror or error})", what),),
        )


def _examined(
    folder: Path, memory: HashMemory, *, wanted: Wanted, full: bool, on_bytes: OnBytes
) -> Report:
    files = list(_manifest_checks(folder, wanted, memory=memory, full=full, on_bytes=on_bytes))
    proven = {check.name for check in files if check.state == "ok"}
    return Report(
        folder,
        full,
        (
            *files,
            *_content_checks(
                folder, code_decides=wanted.pinned and published_code.FILE not in proven
            ),
        ),
    )


def bytes_to_hash(
    folder: Path, memory: HashMemory, *, full: bool, manifest: Manifest | None = None
) -> int:
    """How many bytes `verify` is going to hash: what a progress bar counts to."""
    try:
        manifest = manifest or read_manifest(folder)
    except ModelError:
        return 0
    files = manifest.files if manifest else {}
    return sum(
        e.size
        for name, e in files.items()
        if full or not _remembered(folder / name, e, memory=memory)
    )


def _remembered(path: Path, entry: Entry, *, memory: HashMemory) -> bool:
    try:
        return memory.agrees(path, entry)
    except OSError:
        return False


def _manifest_checks(
    folder: Path, wanted: Wanted, *, memory: HashMemory, full: bool, on_bytes: OnBytes
) -> Iterator[Check]:
    try:
        manifest = wanted.manifest or read_manifest(folder)
    except ModelError as error:
        yield Check(
            "manifest", "fail", str(error), "the list of files and hashes that the hub gave"
        )
        return
    if manifest is None:
        # A folder that somebody made by hand has none: then only the contents can speak for
        # themselves.
        state: State = "warn" if wanted.repo is None else "fail"
        yield Check(
            "manifest",
            state,
            "none, so no hash can be checked",
            "the list of files and hashes from the hub",
        )
        return
    here = f"{manifest.repo} at {manifest.revision or 'no revision'}, {len(manifest.files)} files"
    right = wanted.repo in (None, manifest.repo) and wanted.revision in (None, manifest.revision)
    there = f"{wanted.repo or 'any repository'} at {wanted.revision or 'any revision'}"
    yield Check("manifest", "ok" if right else "fail", here, there)
    for name, entry in sorted(manifest.files.items()):
        yield _file_check(folder / name, entry, memory=memory, full=full, on_bytes=on_bytes)


def _file_check(
    path: Path, entry: Entry, *, memory: HashMemory, full: bool, on_bytes: OnBytes
) -> Check:
    name = path.name
    expected = f"{entry.size} bytes"
    try:
        if not path.is_file():
            return Check(name, "fail", "missing", expected, name)
        seen = signature(path)
        if seen[0] != entry.size:
            return Check(name, "fail", f"{seen[0]} bytes", expected, name)
        if not full and memory.agrees(path, entry):
            return Check(name, "ok", f"{entry.size} bytes, hash as remembered", expected)
        if hash_as(entry, path, on_bytes=on_bytes):
            memory.remember(path, entry, seen=seen)
            return Check(name, "ok", f"{entry.size} bytes, hash agrees", expected)
    except OSError as error:
        return Check(name, "fail", f"cannot be read ({error.strerror or error})", expected, name)
    memory.forget(path)
    wanted = (
        f"sha256 {entry.sha256[:12]}..."
        if entry.sha256
        else f"git blob {str(entry.blob_id)[:12]}..."
    )
    return Check(name, "fail", "other bytes: its hash differs", wanted, name)


def _content_checks(folder: Path, *, code_decides: bool) -> Iterator[Check]:
    what = f"model_type {MODEL_TYPE}, architecture {ARCHITECTURE_PREFIX}*"
    arch: Architecture | None = None
    try:
        arch = read_architecture(folder)
        yield Check(
            "configuration",
            "ok",
            f"{arch.decoder.num_layers} layers, {arch.decoder.hidden_size} wide",
            what,
        )
    except ModelError as error:
        yield Check("configuration", "fail", str(error), what, "config.json")
    yield from _weight_checks(folder, arch)
    yield _checked(
        "tokenizer",
        lambda: _tokenizer(folder, arch),
        expected="loads, knows <image>, fits",
        file="tokenizer.json",
    )
    yield _published_code(folder, decides=code_decides)


def _weight_checks(folder: Path, arch: Architecture | None) -> Iterator[Check]:
    what = "whole safetensors files"
    try:
        tensors = read_headers(find_weight_files(folder))
    except ModelError as error:
        yield Check("weights", "fail", str(error), what)
        return
    size = sum(path.stat().st_size for path in {t.file for t in tensors.values()})
    yield Check("weights", "ok", f"{len(tensors)} tensors, {format_size(size)}", what)
    if arch is not None:
        shapes = {name: tensor.shape for name, tensor in tensors.items()}
        files = sorted({t.file.name for t in tensors.values()})
        only = files[0] if len(files) == 1 else None

        def layout() -> str:
            check_tensors(shapes, arch, model_dir=folder)
            return "every tensor, every shape"

        yield _checked(
            "tensors", layout, expected="every tensor that config.json asks for", file=only
        )


def _tokenizer(folder: Path, arch: Architecture | None) -> str:
    from ocrd.checkpoint_format.tokenizer import (
        load_tokenizer,
    )  # a quarter of a second that few commands need

    tokenizer = load_tokenizer(folder)
    if tokenizer.token_to_id("<image>") is None:
        raise ModelError("has no <image> token")
    size = tokenizer.get_vocab_size()
    if arch is not None and size > arch.decoder.vocab_size:
        raise ModelError(f"{size} tokens, but the model knows {arch.decoder.vocab_size}")
    return f"{size} tokens"


def _checked(name: str, look: Callable[[], str], *, expected: str, file: str | None) -> Check:
    try:
        return Check(name, "ok", look(), expected)
    except ModelError as error:
        return Check(name, "fail", str(error), expected, file)


def _published_code(folder: Path, *, decides: bool) -> Check:
    """The code tells the pinned revision from one that fails on a Mac where no hash does.

    Then it decides.

    Elsewhere it is worth saying and no more, for ocrd does not run this code.
    """
    name = "published code"
    expected = "image features converted before masked_scatter, no .cuda()"
    bad: State = "fail" if decides else "warn"
    path = folder / published_code.FILE
    if path.exists() and not path.is_file():
        return Check(name, "fail", "not a plain file", expected, published_code.FILE)
    try:
        findings = published_code.examine(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Check(name, "ok", f"no {published_code.FILE}; ocrd does not need it", expected)
    except (OSError, ValueError) as error:
        return Check(name, bad, str(error), expected, published_code.FILE)
    if findings.good:
        return Check(name, "ok", str(findings), expected)
    aside = "" if decides else " (ocrd does not run this code; others would fail on a Mac)"
    return Check(name, bad, f"{findings}{aside}", expected, published_code.FILE)
