"""What is tried after a failure, in which order.

A function of its class and of where it happened. No torch here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ocrd.engine.resolution import smaller_modes
from ocrd.engine.runtime.failures import Kind

Step = Literal["free-cache", "smaller-mode", "fresh-worker", "cpu"]


@dataclass(frozen=True)
class RecoveryStep:
    step: Step
    # For ``smaller-mode``: which.
    mode: str | None = None

    def __str__(self) -> str:
        return f"{self.step} ({self.mode})" if self.mode else self.step


def recovery_steps(
    kind: Kind, device: str, *, mode: str, fresh: bool, last: bool
) -> tuple[RecoveryStep, ...]:
    """One after another until the page is read; none left means that the page fails.

    Out of memory: free the cache, look at less at once, start a new worker, the CPU. A wedged GPU
    needs a new process. Everything else is a matter of the device, so the CPU reads the page.
    ``fresh``: this worker was started for it; ``last``: it failed where the CPU would read it.
    """
    on_cpu = () if last else (RecoveryStep("cpu"),)
    new = () if fresh or device == "cpu" else (RecoveryStep("fresh-worker"),)
    if kind == "mps-oom":
        modes = [RecoveryStep("smaller-mode", smaller) for smaller in smaller_modes(mode)]
        # On the CPU another dtype may double what is needed, and a new worker has no more memory.
        elsewhere = () if device == "cpu" else (*new, *on_cpu)
        return (RecoveryStep("free-cache"), *modes, *elsewhere)
    if kind == "mps-wedged":
        return (*new, *on_cpu)
    return on_cpu
