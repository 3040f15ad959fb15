"""How the pages of a document are read."""

from __future__ import annotations

from dataclasses import dataclass, field

from ocrd.engine.decode import DecodeLimits
from ocrd.engine.progress import NoProgress, PageProgress


@dataclass(frozen=True)
class ReadOptions:
    """How the pages of a document are read.

    Attributes:
        task: ``text``, ``markdown``, ``figure``, ``locate:WORDS`` or ``prompt:WORDS``.
        limits: When decoding of each page stops.
        progress: Receives each attempt and token.
        in_new_worker: Whether this worker was started for the document, after another gave up.
        page_by_page: Whether pages are never read together.
    """

    task: str = "text"
    limits: DecodeLimits = field(default_factory=DecodeLimits)
    progress: PageProgress = field(default_factory=NoProgress)
    in_new_worker: bool = False
    page_by_page: bool = False
