"""Plain data that passes between the layers: no third-party imports, nothing that can fail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# left, top, right, bottom in pixels of the source page.
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Block:
    """One part of a page: a paragraph, a heading, a table, a located phrase.

    Attributes:
        text: Its plain text.
        label: The model's label (``title``, ``table``, ``located``...); ``text`` by default.
        bbox: Its place in pixels of the page; None where the task gives no places (``text``).
        page: Index of its page, from 0.
    """

    text: str
    label: str = "text"
    bbox: Box | None = None
    page: int = 0


@dataclass(frozen=True)
class Fallback:
    """One failure while a page was read, and the action that followed.

    Attributes:
        page: Index of the page, from 0.
        kind: The class of failure (``mps-dtype``, ``mps-oom``, ``crash``...).
        message: The first line of the error.
        device: Where it happened.
        dtype: In which number format.
        action: ``smaller-batch (N)``, ``alone``, ``free-cache``, ``smaller-mode (MODE)``,
            ``fresh-worker`` or ``cpu``.
    """

    page: int
    kind: str
    message: str
    device: str
    dtype: str
    action: str


@dataclass(frozen=True)
class Attempt:
    """One of several times that a page was read, after the first reading was a loop.

    Attributes:
        mode: The resolution mode.
        stop_reason: Why decoding stopped.
        tokens: How many tokens are worth keeping.
        seconds: How long it took.
    """

    mode: str
    stop_reason: str
    tokens: int
    seconds: float


@dataclass(frozen=True)
class PageReading:
    """The text of one page, and how it was read.

    Attributes:
        index: Index of the page, from 0.
        width: Pixels of the page as it was read.
        height: Pixels of the page as it was read.
        text: Plain text, without markup.
        blocks: The parts of the page in reading order.
        tokens: How many tokens the model wrote.
        stop_reason: ``eos``, ``length``, ``loop``, ``deadline``, or ``blank`` for a page that the
            model was not asked about.
        seconds: How long it took.
        mode: The resolution mode; ``none`` for a blank page.
        fallbacks: Failures on the way to this text.
        markdown: The model's Markdown, without its tags.
        attempts: All attempts, where a loop made a second one necessary; empty otherwise.
    """

    index: int
    width: int
    height: int
    text: str
    blocks: tuple[Block, ...]
    tokens: int
    stop_reason: str
    seconds: float
    mode: str
    fallbacks: tuple[Fallback, ...] = ()
    markdown: str = ""
    attempts: tuple[Attempt, ...] = ()


@dataclass(frozen=True)
class EncodedReading:
    """A `PageReading` as JSON text.

    The process that reads a page encodes it once; it is decoded once, when the sidecars are
    written. Pipe and journal pass the text on unchanged.
    """

    index: int
    json: str


@dataclass(frozen=True)
class ModelIdentity:
    """Which model read a page: the hub's repository and commit, or a folder's name and None."""

    repo: str
    revision: str | None


@dataclass(frozen=True)
class BackendInfo:
    """What reads the pages, as the backend itself reports.

    Attributes:
        device: ``cpu``, ``mps`` or ``cuda``.
        dtype: ``float32`` or ``bfloat16``.
        mode: The configured resolution mode.
        torch: The version of torch.
        transformers: The version of transformers.
        model: The model's repository and revision.
        skipped: Devices that failed their self-test, each with its reason.
        batch: Pages that are decoded together.
        tuned: The kernels that were chosen, and their timings.
    """

    device: str
    dtype: str
    mode: str
    torch: str
    transformers: str
    model: ModelIdentity
    skipped: tuple[str, ...] = ()
    batch: int = 1
    tuned: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Fingerprint:
    """The identity of a file's contents: equal ones mean that nothing was written in between."""

    device: int
    inode: int
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class StableFile:
    """A file in an inbox that is complete and ready to be read.

    Attributes:
        path: As on disk, with the bytes of its name unchanged.
        fingerprint: The fingerprint that stayed the same over the settle time.
    """

    path: Path
    fingerprint: Fingerprint
