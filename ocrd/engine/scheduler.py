"""Continuous batching: pages join the batch as others leave it, and come out in order."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial

from PIL import Image
from torch import Tensor

from ocrd.engine.blank_page import is_blank
from ocrd.engine.decode import Batch, DecodeResult
from ocrd.engine.progress import PageProgress
from ocrd.engine.resolution import MODE_AFTER_LOOP, MODES, Mode
from ocrd.types import Attempt


@dataclass(frozen=True)
class DecodedAttempt:
    """One attempt at a page, and the tokens that it gave."""

    attempt: Attempt
    token_ids: tuple[int, ...]


@dataclass
class ScheduledPage:
    """A page that is being decoded.

    Attributes:
        index: Index of the page in its document, from 0.
        image: Upright RGB.
        mode: Of the current attempt.
        attempts: Attempts that have ended.
        started: When the current attempt began, as `time.monotonic`.
    """

    index: int
    image: Image.Image
    mode: Mode
    attempts: list[DecodedAttempt] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    def end_attempt(self, result: DecodeResult) -> None:
        """Keep the result of the current attempt."""
        seconds = time.monotonic() - self.started
        attempt = Attempt(self.mode.name, result.stop_reason, len(result.token_ids), seconds)
        self.attempts.append(DecodedAttempt(attempt, result.token_ids))


@dataclass(frozen=True)
class DecodedPage:
    """A page whose attempts have all ended, without its picture.

    Attributes:
        index: Index of the page in its document, from 0.
        size: Width and height in pixels.
        attempts: In their order; empty for a blank page, which the model did not see.
    """

    index: int
    size: tuple[int, int]
    attempts: tuple[DecodedAttempt, ...] = ()


class PageScheduler:
    """Decodes the pages of a document in one batch.

    A page that comes out as a loop is decoded once more in another mode.
    """

    def __init__(
        self,
        batch: Batch,
        *,
        slots: int,
        choose_mode: Callable[[Image.Image], Mode],
        embed: Callable[[ScheduledPage], Tensor],
        progress: PageProgress,
        skip_blank: bool,
    ) -> None:
        """Create a scheduler for one document.

        Args:
            batch: An empty batch.
            slots: Most pages of the batch at the same time.
            choose_mode: Returns the mode for a page's first attempt.
            embed: Returns the embeddings [1, T, D] of a page's whole prompt.
            progress: Receives each attempt and token.
            skip_blank: Whether blank pages are not decoded.
        """
        self._batch = batch
        # A slow page, or a run of blank ones, must not load the whole document.
        self._max_pages_ahead = 2 * slots
        self._choose_mode = choose_mode
        self._embed = embed
        self._progress = progress
        self._skip_blank = skip_blank
        # Indexes of all pages that were requested and not yielded, in order.
        self._order: deque[int] = deque()
        self._decoding: dict[int, ScheduledPage] = {}
        self._decoded: dict[int, DecodedPage] = {}

    def run(self, pages: Iterable[tuple[int, Image.Image]]) -> Iterator[DecodedPage]:
        """Decode ``pages``, (index, upright RGB picture), and yield them in the same order.

        A picture is requested when there is room for it, and released when it is decoded.

        Raises:
            NonFiniteLogits: The logits of a page in the batch are not finite.
        """
        source = iter(pages)
        while True:
            self._admit(source)
            if not self._order:
                return
            for index, result in self._batch.step():
                self._end_attempt(self._decoding[index], result)
            while self._order and self._order[0] in self._decoded:
                yield self._decoded.pop(self._order.popleft())

    def _admit(self, source: Iterator[tuple[int, Image.Image]]) -> None:
        """Request pages while there is room for them."""
        while not self._batch.full and len(self._order) < self._max_pages_ahead:
            page = next(source, None)
            if page is None:
                return
            index, image = page
            self._order.append(index)
            if self._skip_blank and is_blank(image):
                self._decoded[index] = DecodedPage(index, image.size)
                continue
            scheduled = ScheduledPage(index, image, self._choose_mode(image))
            self._decoding[index] = scheduled
            self._start_attempt(scheduled)

    def _start_attempt(self, page: ScheduledPage) -> None:
        self._progress.attempt(page.index)
        page.started = time.monotonic()
        self._batch.add(
            page.index,
            self._embed(page),
            on_token=partial(self._progress.tokens, page.index),
        )

    def _end_attempt(self, page: ScheduledPage, result: DecodeResult) -> None:
        page.end_attempt(result)
        next_mode = MODE_AFTER_LOOP.get(page.mode.name)
        if result.stop_reason == "loop" and len(page.attempts) == 1 and next_mode:
            page.mode = MODES[next_mode]
            self._start_attempt(page)
            return
        del self._decoding[page.index]
        self._decoded[page.index] = DecodedPage(page.index, page.image.size, tuple(page.attempts))
