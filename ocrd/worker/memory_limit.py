"""When a worker has grown too large.

MPSGraph keeps a graph for each shape of its inputs and never frees one.
"""

from __future__ import annotations

from dataclasses import dataclass

from ocrd.units import format_size
from ocrd.worker.messages import MemoryUsage


@dataclass(frozen=True)
class MemoryLimits:
    """How large a worker may become.

    Attributes:
        max_bytes: In total.
        max_growth_bytes: Beyond its size after the first document, when everything that is needed
            once has been allocated.
    """

    max_bytes: float = float("inf")
    max_growth_bytes: float = float("inf")


def recycle_reason(first: MemoryUsage, now: MemoryUsage, *, limits: MemoryLimits) -> str | None:
    """Why a worker must be replaced; None when its size is fine.

    A worker that is above the limit from its first document on is replaced only after it grew by a
    tenth of the limit: a new one would be no smaller.

    Args:
        first: Its memory after its first document.
        now: Its memory after the latest document.
        limits: What is allowed.
    """
    grown = now.total - first.total
    if grown > limits.max_growth_bytes:
        return f"it grew by {format_size(grown)} since its first document"
    if now.total > limits.max_bytes and grown > 0.1 * limits.max_bytes:
        return f"it uses {format_size(now.total)} of {format_size(limits.max_bytes)} allowed"
    return None
