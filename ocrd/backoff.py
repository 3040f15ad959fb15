"""How long to wait before the next try."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Backoff:
    """The delays between tries, in seconds; the last one repeats without an end."""

    delays_s: tuple[float, ...]

    def delay_s(self, failures: int) -> float:
        """Seconds to wait after ``failures`` failed tries in a row (1 after the first)."""
        return self.delays_s[min(max(failures, 1), len(self.delays_s)) - 1]
