"""Plain data that passes between the layers: no third-party imports, nothing that can fail."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

Box = tuple[int, int, int, int]
"""left, top, right, bottom in pixels of the source page."""


@dataclass(frozen=True)
class Block:
    """A piece of a page as the model saw it."""

    text: str
    label: str = "text"
    bbox: Box | None = None
    """None where the task gives no place (plain ``text``)."""
    page: int = 0
    """Index of the page, from 0."""


@dataclass(frozen=True)
class Fallback:
    """One failure on the way to a page's text, and what was done about it."""

    page: int
    kind: str
    message: str
    device: str
    dtype: str
    then: str
    """``smaller-batch (N)``, ``alone``, ``free-cache``, ``smaller-mode (MODE)``, ``fresh-worker`` or ``cpu``."""


@dataclass(frozen=True)
class Attempt:
    """One time that a page was looked at, where once was not enough."""

    mode: str
    stop_reason: str
    tokens: int
    """That were worth keeping."""
    seconds: float


@dataclass(frozen=True)
class PageReading:
    """What was read on one page, and how."""

    index: int
    width: int
    height: int
    text: str
    blocks: tuple[Block, ...]
    tokens: int
    stop_reason: str
    """``eos``, ``length``, ``loop``, ``deadline``, or ``blank`` for a page that was not shown to the model."""
    seconds: float
    mode: str
    """The resolution mode in which the text was read; ``none`` for a blank page."""
    fallbacks: tuple[Fallback, ...] = ()
    markdown: str = ""
    """What the model wrote, without its tags; ``text`` is without markup too."""
    attempts: tuple[Attempt, ...] = ()
    """All of them, where a loop made a second one necessary."""


@dataclass(frozen=True)
class Fingerprint:
    """A file as it was at one look; two equal looks mean that nobody wrote in between."""

    device: int
    inode: int
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Settled:
    """A file in an inbox that is complete and ours to read."""

    path: Path
    """As it lies on disk, the bytes of its name untouched."""
    fingerprint: Fingerprint
