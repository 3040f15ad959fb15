"""Seconds that a piece of work takes on a device."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from ocrd.engine.nn.kernel_benchmark import synchronize


def time_run(run: Callable[[], object], device: torch.device) -> float:
    """Seconds of one run, including everything that it started on the device."""
    synchronize(device)
    started = time.perf_counter()
    run()
    synchronize(device)
    return time.perf_counter() - started


def fastest_of(run: Callable[[], object], device: torch.device, *, runs: int) -> float:
    """Seconds of the fastest of several runs, after one that warms up."""
    run()
    return min(time_run(run, device) for _ in range(runs))
