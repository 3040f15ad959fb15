"""Read one page, and recover from failures until it is read or nothing is left to try."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from PIL import Image

from ocrd.engine.runtime.device_plan import Candidate
from ocrd.engine.runtime.failover import Failover
from ocrd.engine.runtime.failure_log import log_failure
from ocrd.engine.runtime.failures import Failure
from ocrd.engine.runtime.loaded_model import LoadedModel
from ocrd.engine.runtime.read_options import ReadOptions
from ocrd.engine.runtime.recovery import RecoveryAction, RecoveryStep, recovery_steps
from ocrd.errors import EngineError, FreshWorkerNeeded, UsageError
from ocrd.types import Fallback, PageReading


class PageRecovery:
    """The failures of one page, and the steps that are left to try.

    Attributes:
        fallbacks: What failed, and what was tried next.
    """

    def __init__(self, index: int, *, mode: str, in_new_worker: bool, is_last_resort: bool) -> None:
        """Create the recovery of a page that has not failed yet.

        Args:
            index: Index of the page, from 0.
            mode: The resolution mode of its first attempt.
            in_new_worker: Whether this worker was started for the page.
            is_last_resort: Whether its first attempt runs where failed pages are retried.
        """
        self.fallbacks: list[Fallback] = []
        self._index = index
        self._mode = mode
        self._in_new_worker = in_new_worker
        self._is_last_resort = is_last_resort
        self._steps: deque[RecoveryStep] | None = None

    @property
    def fell_back_to_cpu(self) -> bool:
        """Whether the page was moved to the CPU."""
        return any(fallback.action == RecoveryAction.CPU for fallback in self.fallbacks)

    def next_step(self, error: Exception, candidate: Candidate) -> RecoveryStep:
        """Record a failure of the page on ``candidate``, and return what to try next.

        Raises:
            EngineError: Nothing is left to try.
            FreshWorkerNeeded: Only a new process can help.
        """
        failure = Failure.from_error(error, candidate)
        message = f"page {self._index + 1}: {failure.kind} on {candidate}: {failure.message}"
        if self._steps is None:
            self._steps = deque(self._all_steps(failure))
        if not self._steps:
            log_failure(
                "a page cannot be read",
                failure,
                error=error,
                action="the page fails",
                page=self._index,
            )
            raise EngineError(message) from error
        step = self._steps.popleft()
        action = str(step)
        log_failure("reading a page failed", failure, error=error, action=action, page=self._index)
        self.fallbacks.append(make_fallback(self._index, failure, action=action))
        if step.action is RecoveryAction.FRESH_WORKER:
            raise FreshWorkerNeeded(message, tuple(self.fallbacks)) from error
        return step

    def _all_steps(self, failure: Failure) -> Sequence[RecoveryStep]:
        """The kind of the first failure decides on all steps."""
        return recovery_steps(
            failure.kind,
            failure.device,
            mode=self._mode,
            in_new_worker=self._in_new_worker,
            is_last_resort=self._is_last_resort,
        )


class PageReader:
    """Reads pages one at a time, with all recovery steps."""

    def __init__(self, model: LoadedModel, failover: Failover) -> None:
        self._model = model
        self._failover = failover

    def read(self, index: int, image: Image.Image, *, options: ReadOptions) -> PageReading:
        """Read one page, on the CPU if necessary.

        Args:
            index: Index of the page, from 0.
            image: Upright RGB.
            options: How the page is read.

        Raises:
            EngineError: Every recovery step failed.
            FreshWorkerNeeded: Only a new process can read the page.
            UsageError: There is no such task.
        """
        # Reported here too, because the primary device may be tested first.
        options.progress.attempt(index)
        self._failover.return_to_primary()
        started_on = self._model.current
        recovery = PageRecovery(
            index,
            mode=self._model.recognizer.mode_for(image).name,
            in_new_worker=options.in_new_worker,
            is_last_resort=self._failover.on_cpu,
        )
        step: RecoveryStep | None = None
        while True:
            try:
                self._prepare(step)
                with self._model.running_on(self._model.current):
                    reading = self._model.recognizer.read(
                        image,
                        options.task,
                        index=index,
                        limits=options.limits,
                        mode=step.mode if step else None,
                        progress=options.progress,
                    )
                break
            except UsageError:
                raise
            except FreshWorkerNeeded as error:
                raise FreshWorkerNeeded(str(error), tuple(recovery.fallbacks)) from error
            except Exception as error:
                step = recovery.next_step(error, self._model.current)
        self._failover.record_page(started_on, fell_back=recovery.fell_back_to_cpu)
        return replace(reading, fallbacks=tuple(recovery.fallbacks))

    def _prepare(self, step: RecoveryStep | None) -> None:
        """Do what ``step`` needs before the next attempt."""
        if step is None:
            return
        if step.action is RecoveryAction.FREE_CACHE:
            self._model.free_cache()
        elif step.action is RecoveryAction.CPU:
            self._failover.fall_back_to_cpu()


def make_fallback(index: int, failure: Failure, *, action: str) -> Fallback:
    """Record ``failure`` of page ``index`` and what was tried next, for the sidecar."""
    return Fallback(
        index, failure.kind.value, failure.message, failure.device, failure.dtype, action
    )
