"""Decide what to try after a failure, and in which order. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ocrd.engine.resolution import smaller_modes
from ocrd.engine.runtime.failures import FailureKind


class RecoveryAction(StrEnum):
    """What can be done about a page that failed."""

    FREE_CACHE = "free-cache"
    SMALLER_MODE = "smaller-mode"
    FRESH_WORKER = "fresh-worker"
    CPU = "cpu"


@dataclass(frozen=True)
class RecoveryStep:
    """One step: an action, and for ``smaller-mode`` the mode."""

    action: RecoveryAction
    mode: str | None = None

    def __str__(self) -> str:
        return f"{self.action} ({self.mode})" if self.mode else str(self.action)


def recovery_steps(
    kind: FailureKind, device: str, *, mode: str, in_new_worker: bool, is_last_resort: bool
) -> tuple[RecoveryStep, ...]:
    """Return the steps to try one after another until the page is read.

    * Out of memory: free the cache, then smaller modes, then a new worker, then the CPU.
    * A wedged GPU: a new worker, because only a new process can use it again, then the CPU.
    * Everything else depends on the device, so the CPU reads the page.

    Args:
        kind: The kind of the first failure.
        device: Where it happened.
        mode: The resolution mode in which it happened.
        in_new_worker: Whether this worker was started for the page, so another one cannot help.
        is_last_resort: Whether it happened where the CPU would read the page.
    """
    on_cpu = () if is_last_resort else (RecoveryStep(RecoveryAction.CPU),)
    new_worker = (
        () if in_new_worker or device == "cpu" else (RecoveryStep(RecoveryAction.FRESH_WORKER),)
    )
    if kind is FailureKind.OUT_OF_MEMORY:
        modes = [
            RecoveryStep(RecoveryAction.SMALLER_MODE, smaller) for smaller in smaller_modes(mode)
        ]
        # On the CPU, another dtype may need twice the memory, and a new worker has no more of it.
        elsewhere = () if device == "cpu" else (*new_worker, *on_cpu)
        return (RecoveryStep(RecoveryAction.FREE_CACHE), *modes, *elsewhere)
    if kind is FailureKind.WEDGED:
        return (*new_worker, *on_cpu)
    return on_cpu
