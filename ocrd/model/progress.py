"""How far a long step is: bytes, speed and time left, told a few times a second."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Phase = Literal["checking", "copying", "fetching"]
# Seconds over which the speed is taken: a network's moods even out, and a stall shows soon.
WINDOW = 10.0


@dataclass(frozen=True)
class Progress:
    phase: Phase
    done: int
    # Bytes.
    total: int
    # Bytes a second over the last seconds; None before anything is known.
    speed: float | None = None

    @property
    def left(self) -> float | None:
        """Seconds until the end at this speed."""
        return (self.total - self.done) / self.speed if self.speed else None


Tell = Callable[[Progress], None]


def tell_nobody(_progress: Progress) -> None:
    """Nobody wants to know."""


class Meter:
    """Counts the bytes of one phase after another and tells how it goes, at most every ``pause``
    seconds.
    """

    def __init__(
        self,
        tell: Tell = tell_nobody,
        pause: float = 0.25,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tell = tell
        self._pause = pause
        self._clock = clock
        self._phase: Phase = "checking"
        self._done = self._total = 0
        # Bytes that came from the hub in all phases together.
        self.fetched = 0
        self._told = float("-inf")
        self._marks: deque[tuple[float, int]] = deque()

    def begin(self, phase: Phase, total: int) -> None:
        """A new phase of ``total`` bytes."""
        self._phase = phase
        self._total = total
        self._done = 0
        self._marks = deque([(self._clock(), 0)])
        self._told = float("-inf")
        self.advance(0)

    def skip(self, count: int) -> None:
        """Bytes that were there already: done, but they say nothing about the speed."""
        self._done += count
        self._marks = deque((at, done + count) for at, done in self._marks)

    def advance(self, count: int) -> None:
        """``count`` more bytes; negative when some have to be done again."""
        self._done += count
        if self._phase == "fetching":
            self.fetched += count
        now = self._clock()
        if now - self._told < self._pause and self._done != self._total:
            return
        self._told = now
        self._marks.append((now, self._done))
        while len(self._marks) > 2 and now - self._marks[1][0] > WINDOW:
            self._marks.popleft()
        then, before = self._marks[0]
        span = now - then
        speed = max(0.0, (self._done - before) / span) if span > 0 else None
        self._tell(Progress(self._phase, self._done, self._total, speed))
