"""What is tried after a failure, and in which order."""

from __future__ import annotations

import pytest

from ocrd.engine.runtime.failures import Kind
from ocrd.engine.runtime.recovery import recovery_steps


@pytest.mark.parametrize(("kind", "device", "mode", "fresh", "expected"), [
    ("mps-dtype", "mps", "gundam", False, "cpu"),
    ("mps-unsupported-op", "mps", "base", False, "cpu"),
    ("mps-numerics", "mps", "base", False, "cpu"),
    ("other", "cuda", "base", False, "cpu"),
    ("mps-oom", "mps", "gundam", False,
     "free-cache, smaller-mode (base), smaller-mode (small), smaller-mode (tiny), fresh-worker, cpu"),
    ("mps-oom", "mps", "gundam", True,
     "free-cache, smaller-mode (base), smaller-mode (small), smaller-mode (tiny), cpu"),
    ("mps-oom", "mps", "native", False, "free-cache, fresh-worker, cpu"),
    ("mps-oom", "mps", "tiny", False, "free-cache, fresh-worker, cpu"),
    ("mps-wedged", "mps", "base", False, "fresh-worker, cpu"),
    ("mps-wedged", "mps", "base", True, "cpu"),
])  # fmt: skip
def test_the_order(kind: Kind, device: str, mode: str, fresh: bool, expected: str) -> None:
    assert (
        ", ".join(str(r) for r in recovery_steps(kind, device, mode=mode, fresh=fresh, last=False))
        == expected
    )


@pytest.mark.parametrize(("kind", "last", "expected"), [
    ("mps-dtype", True, ""),
    ("mps-dtype", False, "cpu"),
    ("mps-oom", True, "free-cache, smaller-mode (tiny)"),
    ("mps-oom", False, "free-cache, smaller-mode (tiny)"),
    ("mps-wedged", True, ""),
    ("other", True, ""),
])  # fmt: skip
def test_on_the_cpu_there_is_nowhere_else_to_go(kind: Kind, last: bool, expected: str) -> None:
    assert (
        ", ".join(str(r) for r in recovery_steps(kind, "cpu", mode="small", fresh=False, last=last))
        == expected
    )
