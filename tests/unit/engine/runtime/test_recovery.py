"""What is tried after a failure, and in which order."""

from __future__ import annotations

import pytest

from ocrd.engine.runtime.failures import FailureKind
from ocrd.engine.runtime.recovery import recovery_steps


@pytest.mark.parametrize(("kind", "device", "mode", "in_new_worker", "expected"), [
    ("mps-dtype", "mps", "gundam", False, "cpu"),
    ("mps-unsupported-op", "mps", "base", False, "cpu"),
    ("mps-numerics", "mps", "base", False, "cpu"),
    ("other", "cuda", "base", False, "cpu"),
    ("mps-oom", "mps", "gundam", False,
     "free-cache, smaller-mode (base), smaller-mode (small), smaller-mode (tiny), fresh-worker, "
     "cpu"),
    ("mps-oom", "mps", "gundam", True,
     "free-cache, smaller-mode (base), smaller-mode (small), smaller-mode (tiny), cpu"),
    ("mps-oom", "mps", "native", False, "free-cache, fresh-worker, cpu"),
    ("mps-oom", "mps", "tiny", False, "free-cache, fresh-worker, cpu"),
    ("mps-wedged", "mps", "base", False, "fresh-worker, cpu"),
    ("mps-wedged", "mps", "base", True, "cpu"),
])  # fmt: skip
def test_the_order(kind: str, device: str, mode: str, in_new_worker: bool, expected: str) -> None:
    assert (
        ", ".join(
            str(step)
            for step in recovery_steps(
                FailureKind(kind),
                device,
                mode=mode,
                in_new_worker=in_new_worker,
                is_last_resort=False,
            )
        )
        == expected
    )


@pytest.mark.parametrize(("kind", "is_last_resort", "expected"), [
    ("mps-dtype", True, ""),
    ("mps-dtype", False, "cpu"),
    ("mps-oom", True, "free-cache, smaller-mode (tiny)"),
    ("mps-oom", False, "free-cache, smaller-mode (tiny)"),
    ("mps-wedged", True, ""),
    ("other", True, ""),
])  # fmt: skip
def test_on_the_cpu_there_is_no_other_device_to_try(
    kind: str, is_last_resort: bool, expected: str
) -> None:
    assert (
        ", ".join(
            str(step)
            for step in recovery_steps(
                FailureKind(kind),
                "cpu",
                mode="small",
                in_new_worker=False,
                is_last_resort=is_last_resort,
            )
        )
        == expected
    )
