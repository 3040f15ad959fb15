"""Report the progress of a long step: bytes, speed and remaining time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Phase = Literal["checking", "copying", "fetching"]

# The speed is measured over this time: long enough to even out a network, short enough to show a
# stall soon.
SPEED_WINDOW_S = 10.0

REPORT_INTERVAL_S = 0.25


@dataclass(frozen=True)
class TransferProgress:
    """The progress of one phase; ``bytes_per_s`` is None until it is known."""

    phase: Phase
    done_bytes: int
    total_bytes: int
    bytes_per_s: float | None = None

    @property
    def remaining_s(self) -> float | None:
        """Seconds until the end at this speed."""
        if not self.bytes_per_s:
            return None
        return (self.total_bytes - self.done_bytes) / self.bytes_per_s


OnProgress = Callable[[TransferProgress], None]


def ignore_progress(_progress: TransferProgress) -> None:
    """Report no progress."""


class ProgressMeter:
    """Counts the bytes of one phase after another, and reports them from time to time."""

    def __init__(
        self,
        on_progress: OnProgress = ignore_progress,
        interval_s: float = REPORT_INTERVAL_S,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start with an empty phase.

        Args:
            on_progress: Called with the progress.
            interval_s: The shortest time between two calls, except for the last one of a phase.
            clock: Seconds of a monotonic clock.
        """
        self._on_progress = on_progress
        self._interval_s = interval_s
        self._clock = clock
        self._phase: Phase = "checking"
        self._done_bytes = 0
        self._total_bytes = 0
        # Bytes that came from the hub, in all phases together.
        self.fetched_bytes = 0
        self._last_report = float("-inf")
        # Time and done bytes of the reports within the window.
        self._samples: deque[tuple[float, int]] = deque()

    def start_phase(self, phase: Phase, total_bytes: int) -> None:
        """Begin to count again from 0."""
        self._phase = phase
        self._total_bytes = total_bytes
        self._done_bytes = 0
        self._samples = deque([(self._clock(), 0)])
        self._last_report = float("-inf")
        self.advance(0)

    def skip(self, count: int) -> None:
        """Count bytes that existed before: they are done, but do not count for the speed."""
        self._done_bytes += count
        self._samples = deque((at, done + count) for at, done in self._samples)

    def advance(self, count: int) -> None:
        """Count ``count`` more bytes; negative when some have to be done again."""
        self._done_bytes += count
        if self._phase == "fetching":
            self.fetched_bytes += count
        now = self._clock()
        finished = self._done_bytes == self._total_bytes
        if now - self._last_report < self._interval_s and not finished:
            return
        self._last_report = now
        self._samples.append((now, self._done_bytes))
        while len(self._samples) > 2 and now - self._samples[1][0] > SPEED_WINDOW_S:
            self._samples.popleft()
        self._on_progress(
            TransferProgress(self._phase, self._done_bytes, self._total_bytes, self._speed())
        )

    def _speed(self) -> float | None:
        first_time, first_bytes = self._samples[0]
        last_time, last_bytes = self._samples[-1]
        span_s = last_time - first_time
        return max(0.0, (last_bytes - first_bytes) / span_s) if span_s > 0 else None
