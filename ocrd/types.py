"""Plain data that passes between the layers: no third-party imports, nothing that can fail."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

# left, top, right, bottom in pixels of the source page.
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Block:
    """A piece of a page as the model saw it."""

    text: str
    label: str = "text"
    # None where the task gives no place (plain ``text``).
    bbox: Box | None = None
    # Index of the page, from 0.
    page: int = 0


@dataclass(frozen=True)
class Fallback:
    """One failure on the way to a page's text, and what was done about it."""

    page: int
    kind: str
    message: str
    device: str
    dtype: str
    # ``smaller-batch (N)``, ``alone``, ``free-cache``, ``smaller-mode (MODE)``, ``fresh-worker`` or
    # ``cpu``.
    then: str


@dataclass(frozen=True)
class Attempt:
    """One time that a page was looked at, where once was not enough."""

    mode: str
    stop_reason: str
    # That were worth keeping.
    tokens: int
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
    # ``eos``, ``length``, ``loop``, ``deadline``, or ``blank`` for a page that was not shown to the
    # model.
    stop_reason: str
    seconds: float
    # The resolution mode in which the text was read; ``none`` for a blank page.
    mode: str
    fallbacks: tuple[Fallback, ...] = ()
    # What the model wrote, without its tags; ``text`` is without markup too.
    markdown: str = ""
    # All of them, where a loop made a second one necessary.
    attempts: tuple[Attempt, ...] = ()


@dataclass(frozen=True)
class Fingerprint:
    """A file as it was at one look; two equal looks mean that nobody wrote in between."""

    device: int
    inode: int
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class StableFile:
    """A file in an inbox that is complete and ours to read."""

    # As it lies on disk, the bytes of its name untouched.
    path: Path
    fingerprint: Fingerprint
