"""What the daemon asks of a backend, and what a backend reports while it reads documents."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ocrd.errors import RefusalReason
from ocrd.types import EncodedReading


@dataclass(frozen=True)
class ReadRequest:
    """One document to read.

    Attributes:
        job: The job's id; every event about this document carries it.
        path: The file.
        task: ``text``, ``markdown``, ``figure``, ``locate:WORDS`` or ``prompt:WORDS``.
        first_page: Index of the first page to read; those before it have been read already.
        max_new_tokens: The most tokens for one page.
        page_deadline_s: Seconds for one page; then its text ends where it is.
        dpi: Resolution at which PDF pages are drawn.
        max_bytes: Larger files are refused.
        max_pixels: Larger pages are refused.
        in_new_worker: The worker was started for this document after another gave up on it.
        page_by_page: Read its pages one at a time: a worker died, perhaps because of a batch.
    """

    job: str
    path: Path
    task: str
    first_page: int
    max_new_tokens: int
    page_deadline_s: float
    dpi: int
    max_bytes: int
    max_pixels: int
    in_new_worker: bool = False
    page_by_page: bool = False


@dataclass(frozen=True)
class DocumentOpened:
    """The document can be read; it has this many pages."""

    job: str
    page_count: int
    event: Literal["opened"] = "opened"


@dataclass(frozen=True)
class TokensWritten:
    """How many tokens of a page's text there are so far."""

    job: str
    page: int
    count: int
    event: Literal["tokens"] = "tokens"


@dataclass(frozen=True)
class PageRead:
    """One page's reading."""

    job: str
    reading: EncodedReading
    event: Literal["page"] = "page"


@dataclass(frozen=True)
class DocumentFinished:
    """All pages of the document have been reported."""

    job: str
    event: Literal["finished"] = "finished"


@dataclass(frozen=True)
class DocumentRefused:
    """The document is not read, for a reason that lasts."""

    job: str
    reason: RefusalReason
    message: str
    event: Literal["refused"] = "refused"


@dataclass(frozen=True)
class DocumentDeferred:
    """The file cannot be read now; a retry may help."""

    job: str
    message: str
    event: Literal["deferred"] = "deferred"


# What `Backend.read` yields.
PageEvent = DocumentOpened | TokensWritten | PageRead
# What `Backend.read_together` yields: each document ends with one of the last three.
DocumentEvent = PageEvent | DocumentFinished | DocumentRefused | DocumentDeferred
