"""A worker is replaced when it has grown too large."""

from __future__ import annotations

import pytest

from ocrd.worker.memory_limit import MemoryLimits, recycle_reason
from ocrd.worker.messages import MemoryUsage

GB = 10**9
LIMITS = MemoryLimits(max_bytes=10 * GB, max_growth_bytes=5 * GB)


@pytest.mark.parametrize(
    ("first", "now", "limits", "reason"),
    [
        (
            MemoryUsage(2 * GB, 0),
            MemoryUsage(2 * GB, GB // 2),
            MemoryLimits(10 * GB, GB),
            None,
        ),
        (
            MemoryUsage(2 * GB, 0),
            MemoryUsage(2 * GB + GB // 10, GB),
            MemoryLimits(10 * GB, GB),
            "it grew by 1.10 GB since its first document",
        ),
        (
            MemoryUsage(9 * GB, 0),
            MemoryUsage(9 * GB + GB // 2, GB),
            LIMITS,
            "it uses 10.5 GB of 10.0 GB allowed",
        ),
        # A new one would be no smaller.
        (MemoryUsage(12 * GB, 0), MemoryUsage(12 * GB, GB - 1), LIMITS, None),
        (MemoryUsage(12 * GB, 0), MemoryUsage(90 * GB, 0), MemoryLimits(), None),
    ],
)
def test_when_a_worker_is_replaced(
    first: MemoryUsage, now: MemoryUsage, limits: MemoryLimits, reason: str | None
) -> None:
    assert recycle_reason(first, now, limits=limits) == reason
