"""Sidecars: the text beside the picture, written whole or not at all, and never over what a user
made.

``.txt`` and ``.md`` come first and ``.json`` last, as the mark that the set is complete. It holds
the source's sha256 and those of the other files, so that a later run knows its own work from a
user's.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ocrd.files import hash_bytes, write_atomically
from ocrd.types import Fallback, PageReading

SCHEMA = "https://ocrd.invalid/sidecar.schema.json"
SCHEMA_VERSION = 1
# Between pages, as Tesseract and OCRmyPDF write it.
PAGE_BREAK = "\f"
# Bytes of a sidecar's name before its suffix.
LONGEST_BASE = 240
ORDER = ("txt", "md", "json")


@dataclass(frozen=True)
class Source:
    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Provenance:
    """What read the pages."""

    model: Mapping[str, Any]
    engine: Mapping[str, Any]


def render(
    source: Source,
    provenance: Provenance,
    *,
    task: str,
    pages: Sequence[PageReading],
    formats: Sequence[str],
    mishaps: Sequence[Fallback] = (),
) -> dict[str, bytes]:
    """The bytes of each wanted format, in the order in which they are to be written.

    ``mishaps``: failures that ended a worker, beside those that the pages themselves tell.
    """
    text = PAGE_BREAK.join(f"{page.text}\n" if page.text else "" for page in pages)
    rendered = {
        "txt": text.encode(),
        "md": "\n\n".join(page.markdown for page in pages if page.markdown).encode() + b"\n",
    }
    out = {
        format_: rendered[format_]
        for format_ in ORDER
        if format_ in formats and format_ in rendered
    }
    if "json" in formats:
        hashes = {format_: hash_bytes(data) for format_, data in out.items()}
        fallbacks = sorted(
            (*mishaps, *(f for p in pages for f in p.fallbacks)), key=lambda f: f.page
        )
        out["json"] = _document(
            source, provenance, task=task, pages=pages, hashes=hashes, fallbacks=fallbacks
        )
    return out


def _document(
    source: Source,
    provenance: Provenance,
    *,
    task: str,
    pages: Sequence[PageReading],
    hashes: Mapping[str, str],
    fallbacks: Sequence[Fallback],
) -> bytes:
    unfinished = [
        f"page {p.index + 1} ended by {p.stop_reason}; its text may be cut"
        for p in pages
        if p.stop_reason not in ("eos", "blank")
    ]
    looped = [
        f"page {p.index + 1} came out as a loop in mode {p.attempts[0].mode} and was looked at again in mode"
        f" {p.attempts[1].mode}"
        for p in pages
        if p.attempts
    ]
    first = {f.page: f for f in reversed(fallbacks)}
    again = [
        f"page {n + 1} was read after a failure ({first[n].kind} on {first[n].device})"
        for n in sorted(first)
    ]
    document = {
        "$schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "source": {**asdict(source), "name": _printable(source.name)},
        "model": dict(provenance.model),
        "engine": {**provenance.engine, "task": task, "fallbacks": [asdict(f) for f in fallbacks]},
        "pages": [_page(page) for page in pages],
        "outputs": dict(hashes),
        "warnings": unfinished + looped + again,
    }
    return json.dumps(document, ensure_ascii=False, indent=2).encode() + b"\n"


def _page(page: PageReading) -> dict[str, Any]:
    fields = asdict(page)
    fields["seconds"] = round(page.seconds, 3)
    del (
        fields["fallbacks"],
        fields["markdown"],
    )  # they stand with the engine, and in a file of its own
    for attempt in fields["attempts"]:
        attempt["seconds"] = round(attempt["seconds"], 3)
    for block in fields["blocks"]:
        del block["page"]  # it stands under its page
    return fields


def _printable(name: str) -> str:
    """A name with bytes that are no UTF-8 has surrogates, which JSON readers refuse."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


@dataclass(frozen=True)
class Destination:
    """Where a source's sidecars go: a folder and the name without suffix."""

    folder: Path
    base: str

    def path(self, format_: str) -> Path:
        return self.folder / f"{self.base}.{format_}"


def destination(source: Path, template: str, *, inbox: Path, output: Path | None) -> Destination:
    """The first choice: beside the source, or under ``output`` with the inbox's sub-folders
    kept.
    """
    base = _short_enough(template.replace("{name}", source.name).replace("{stem}", source.stem))
    if output is None:
        return Destination(source.parent, base)
    return Destination(output / source.parent.relative_to(inbox), base)


def _short_enough(base: str) -> str:
    """A name that leaves room for a number and a suffix within a file system's 255 bytes."""
    if len(os.fsencode(base)) <= LONGEST_BASE:
        return base
    mark = "~" + hash_bytes(os.fsencode(base))[:8]  # two long names that begin alike stay apart
    while len(os.fsencode(base + mark)) > LONGEST_BASE:
        base = base[:-1]
    return base + mark


def choose_destination(
    first: Destination, formats: Sequence[str], *, ours: Callable[[Path], bool]
) -> Destination:
    """``first``, or with ``-2``, ``-3``... until every file is free or ``ours`` to replace."""
    for candidate in _candidates(first):
        paths = [candidate.path(format_) for format_ in formats]
        if all(not os.path.lexists(path) or ours(path) for path in paths):
            return candidate
    raise AssertionError("unreachable: the numbers do not end")


def _candidates(first: Destination) -> Iterator[Destination]:
    yield first
    number = 2
    while True:
        yield Destination(first.folder, f"{first.base}-{number}")
        number += 1


def complete_set(
    first: Destination, source_sha256: str, *, formats: Sequence[str]
) -> Destination | None:
    """Where a finished set for exactly this source is.

    How a lost journal is made good. None when there is none.
    """
    for candidate in _candidates(first):
        paths = [candidate.path(format_) for format_ in formats]
        if "json" not in formats or not all(path.is_file() for path in paths):
            return None
        document = read_document(candidate.path("json"))
        if document is not None and document["source"].get("sha256") == source_sha256:
            return candidate
    return None


def read_document(path: Path) -> dict[str, Any] | None:
    """A JSON sidecar that ocrd wrote, or None for anything else."""
    try:
        if path.is_symlink() or not path.is_file():
            return None
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):  # a user's own file may hold anything
        return None
    ours = (
        isinstance(document, dict)
        and document.get("$schema") == SCHEMA
        and isinstance(document.get("source"), dict)
    )
    return document if ours else None


def write_set(
    where: Destination, contents: Mapping[str, bytes], *, ours: Callable[[Path], bool]
) -> None:
    """Write each file whole, in order: a temporary file, fsync, rename, folder fsync.

    Raises FileExistsError when somebody else's file came to stand there meanwhile, OSError
    otherwise.
    """
    where.folder.mkdir(parents=True, exist_ok=True)
    for format_, data in contents.items():
        write_atomically(where.path(format_), data, may_replace=ours)
