"""A worker is replaced when it has grown too large."""

from __future__ import annotations

import pytest

from ocrd.worker.memory import Memory, MemoryLimits, recycle_reason


@pytest.mark.parametrize(("first", "now", "limits", "why"), [
    ((2e9, 0), (2.5e9, 0), MemoryLimits(ceiling=10e9, growth=1e9), None),
    ((2e9, 0), (2.1e9, 1e9), MemoryLimits(ceiling=10e9, growth=1e9), "grew by 1.1 GB"),
    ((9e9, 0), (9.5e9, 1e9), MemoryLimits(ceiling=10e9, growth=5e9), "has 10.5 GB, and 10.0 GB are allowed"),
    # a new one would be no smaller
    ((12e9, 0), (12.9e9, 0), MemoryLimits(ceiling=10e9, growth=5e9), None),
    ((12e9, 0), (90e9, 0), MemoryLimits(), None),
])  # fmt: skip
def test_when_a_worker_is_replaced(
    first: tuple[float, float], now: tuple[float, float], limits: MemoryLimits, why: str | None
) -> None:
    reason = recycle_reason(Memory(*map(int, first)), Memory(*map(int, now)), limits=limits)
    assert (reason is None) == (why is None) and (why or "") in (reason or "")
