"""The contents of the sidecars: plain text, Markdown, and JSON as docs/sidecar.schema.json says.

``.txt`` and ``.md`` are written first and ``.json`` last, as the mark that the set is complete. The
JSON holds the source's sha256 and those of the other files.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ocrd.files import hash_bytes
from ocrd.types import BackendInfo, Fallback, PageReading

SCHEMA = "https://ocrd.invalid/sidecar.schema.json"
SCHEMA_VERSION = 1
# Between pages, as Tesseract and OCRmyPDF write it.
PAGE_BREAK = "\f"
# The order in which the files of a set are written.
FORMATS = ("txt", "md", "json")


@dataclass(frozen=True)
class Source:
    """The file that was read: its name, its size in bytes, and the sha256 of its bytes."""

    name: str
    size: int
    sha256: str


def render(
    source: Source,
    pages: Sequence[PageReading],
    *,
    backend: BackendInfo,
    task: str,
    formats: Sequence[str],
    earlier_failures: Sequence[Fallback] = (),
) -> dict[str, bytes]:
    """The bytes of each wanted format, in the order in which they must be written.

    Args:
        source: The file that was read.
        pages: Its pages, in order.
        backend: What read them.
        task: What it was asked.
        formats: The wanted formats: ``txt``, ``md``, ``json``.
        earlier_failures: Failures that ended a worker, besides those in the pages.
    """
    rendered: dict[str, bytes] = {}
    if "txt" in formats:
        text = PAGE_BREAK.join(f"{page.text}\n" if page.text else "" for page in pages)
        rendered["txt"] = text.encode()
    if "md" in formats:
        markdown = "\n\n".join(page.markdown for page in pages if page.markdown)
        rendered["md"] = markdown.encode() + b"\n"
    if "json" in formats:
        in_pages = (fallback for page in pages for fallback in page.fallbacks)
        fallbacks = sorted((*earlier_failures, *in_pages), key=lambda fallback: fallback.page)
        document = {
            "$schema": SCHEMA,
            "schema_version": SCHEMA_VERSION,
            "source": {**asdict(source), "name": _without_surrogates(source.name)},
            "model": asdict(backend.model),
            "engine": _engine(backend, task, fallbacks=fallbacks),
            "pages": [_page(page) for page in pages],
            "outputs": {format_: hash_bytes(data) for format_, data in rendered.items()},
            "warnings": _warnings(pages, fallbacks),
        }
        rendered["json"] = json.dumps(document, ensure_ascii=False, indent=2).encode() + b"\n"
    return rendered


def read_sidecar(path: Path) -> dict[str, Any] | None:
    """The contents of a JSON sidecar that ocrd wrote; None for any other file."""
    try:
        if path.is_symlink() or not path.is_file():
            return None
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):  # a user's own file may contain anything
        return None
    if not isinstance(document, dict) or document.get("$schema") != SCHEMA:
        return None
    return document if isinstance(document.get("source"), dict) else None


def _engine(backend: BackendInfo, task: str, *, fallbacks: Sequence[Fallback]) -> dict[str, Any]:
    return {
        "backend": "torch",
        "device": backend.device,
        "dtype": backend.dtype,
        "mode": backend.mode,
        "torch": backend.torch,
        "transformers": backend.transformers,
        "task": task,
        "fallbacks": [_fallback(fallback) for fallback in fallbacks],
    }


def _fallback(fallback: Fallback) -> dict[str, Any]:
    fields = asdict(fallback)
    fields["then"] = fields.pop("action")  # its name in the schema
    return fields


def _page(page: PageReading) -> dict[str, Any]:
    fields = asdict(page)
    fields["seconds"] = round(page.seconds, 3)
    del fields["fallbacks"]  # listed under the engine
    del fields["markdown"]  # a file of its own
    for attempt in fields["attempts"]:
        attempt["seconds"] = round(attempt["seconds"], 3)
    for block in fields["blocks"]:
        del block["page"]  # listed under its page
    return fields


def _warnings(pages: Sequence[PageReading], fallbacks: Sequence[Fallback]) -> list[str]:
    warnings = [
        f"page {page.index + 1} ended by {page.stop_reason}; its text may be cut"
        for page in pages
        if page.stop_reason not in ("eos", "blank")
    ]
    warnings += [
        f"page {page.index + 1} was a loop in mode {page.attempts[0].mode}"
        f" and was read again in mode {page.attempts[1].mode}"
        for page in pages
        if page.attempts
    ]
    first_by_page = {fallback.page: fallback for fallback in reversed(fallbacks)}
    for number in sorted(first_by_page):
        first = first_by_page[number]
        warnings.append(
            f"page {number + 1} was read after a failure ({first.kind} on {first.device})"
        )
    return warnings


def _without_surrogates(name: str) -> str:
    """A name with bytes that are not UTF-8 contains surrogates, which JSON readers refuse."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
