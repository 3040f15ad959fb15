"""When a worker has grown too large.

MPSGraph keeps a graph for each shape, and gives none of them back.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Memory:
    """Bytes that a worker has after a document."""

    # Of the process.
    resident: int
    # That the GPU's driver gave to it.
    driver: int

    @property
    def total(self) -> int:
        return self.resident + self.driver


@dataclass(frozen=True)
class MemoryLimits:
    ceiling: float = float("inf")
    # Bytes beyond what it had after its first document, when everything that is needed once was
    # there.
    growth: float = float("inf")


def recycle_reason(first: Memory, now: Memory, *, limits: MemoryLimits) -> str | None:
    """Why a worker with this memory is to be replaced; None when it is well.

    One that is above the ceiling from its first document on is not, before it grew by a tenth of
    it: a new one would be no smaller.
    """
    grown = now.total - first.total
    if grown > limits.growth:
        return f"it grew by {grown / 1e9:.1f} GB since its first document"
    if now.total > limits.ceiling and grown > 0.1 * limits.ceiling:
        return f"it has {now.total / 1e9:.1f} GB, and {limits.ceiling / 1e9:.1f} GB are allowed"
    return None
