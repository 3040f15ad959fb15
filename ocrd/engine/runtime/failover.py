"""Which device reads the next page: the primary device, or the CPU after failures.

A page that fails may move the model to the CPU. The next page moves it back. After several failures
in a row, the model stays on the CPU until a cool-down ends; then one self-test decides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from ocrd.engine.runtime.device_plan import Candidate
from ocrd.engine.runtime.failure_log import log_failure
from ocrd.engine.runtime.failures import Failure
from ocrd.engine.runtime.loaded_model import LoadedModel
from ocrd.engine.runtime.self_test import SelfTest
from ocrd.engine.runtime.start_progress import StartProgress
from ocrd.errors import FreshWorkerNeeded


@dataclass(frozen=True)
class FailoverPolicy:
    """When the CPU takes over, and for how long.

    Attributes:
        max_fallbacks: Pages in a row that may fall back to the CPU before the cool-down.
        cool_down_s: Seconds for which the CPU then reads all pages.
    """

    max_fallbacks: int = 3
    cool_down_s: float = 600.0


class Failover:
    """Moves the model between its primary device and the CPU."""

    def __init__(
        self,
        model: LoadedModel,
        *,
        cpu: Candidate,
        policy: FailoverPolicy,
        self_test: SelfTest,
        progress: StartProgress,
        clock: Callable[[], float],
    ) -> None:
        """Start on the device where the model is.

        Args:
            model: The loaded model. Its current device becomes the primary device.
            cpu: Where pages that failed are retried, in a dtype for which there is memory.
            policy: When the CPU takes over.
            self_test: What the primary device must pass after a cool-down.
            progress: Receives the start of each self-test.
            clock: Seconds from any start.
        """
        self.primary = model.current
        self._model = model
        self._cpu = cpu
        self._policy = policy
        self._self_test = self_test
        self._progress = progress
        self._clock = clock
        self._fallbacks_in_a_row = 0
        self._cool_down_end = float("-inf")
        self._log = structlog.get_logger(component="engine")

    @property
    def on_primary(self) -> bool:
        """Whether the model is on its primary device."""
        return self._model.current == self.primary

    @property
    def on_cpu(self) -> bool:
        """Whether the model is where failed pages are retried."""
        return self._model.current == self._cpu

    def fall_back_to_cpu(self) -> None:
        """Move the model to the CPU.

        Raises:
            FreshWorkerNeeded: The model cannot be moved. Half of it may be on the CPU.
        """
        current = self._model.current
        try:
            self._model.move_to(self._cpu)
        except Exception as error:
            failure = Failure.from_error(error, current)
            message = "the model cannot be moved to the CPU"
            log_failure(message, failure, error=error, action="fresh-worker")
            raise FreshWorkerNeeded(f"{message}: {failure.message}") from error

    def return_to_primary(self) -> None:
        """Move the model back to its primary device for the next page, if that may be used.

        Raises:
            FreshWorkerNeeded: The device failed, and the model cannot be moved to the CPU.
        """
        if self.on_primary:
            return
        if self._fallbacks_in_a_row < self._policy.max_fallbacks:
            self._try_primary(self._move_to_primary)
            return
        if self._clock() < self._cool_down_end:
            return
        if self._try_primary(self._test_primary):
            self._fallbacks_in_a_row = 0
            self._log.info(
                "back on the primary device", device=self.primary.device, dtype=self.primary.dtype
            )

    def record_page(self, started_on: Candidate, *, fell_back: bool) -> None:
        """Count fallbacks in a row; begin a cool-down after too many.

        Args:
            started_on: Where the page's first attempt ran.
            fell_back: Whether the CPU had to read the page.
        """
        if started_on != self.primary or self.primary == self._cpu:
            return
        self._fallbacks_in_a_row = self._fallbacks_in_a_row + 1 if fell_back else 0
        if self._fallbacks_in_a_row >= self._policy.max_fallbacks:
            self._begin_cool_down()
            self._log.warning(
                "the CPU reads until the cool-down ends",
                fallbacks_in_a_row=self._fallbacks_in_a_row,
                cool_down_s=self._policy.cool_down_s,
                primary=str(self.primary),
            )

    def _begin_cool_down(self) -> None:
        self._cool_down_end = self._clock() + self._policy.cool_down_s

    def _move_to_primary(self) -> None:
        self._model.move_to(self.primary)

    def _test_primary(self) -> None:
        with self._model.running_on(self.primary):
            self._model.move_to(self.primary)
            self._self_test.run(self._model.recognizer, self._progress)

    def _try_primary(self, attempt: Callable[[], None]) -> bool:
        """Return whether ``attempt`` succeeded. If not, a cool-down begins on the CPU."""
        try:
            attempt()
        except Exception as error:
            failure = Failure.from_error(error, self.primary)
            log_failure("the primary device cannot be used yet", failure, error=error, action="cpu")
            self._fallbacks_in_a_row = max(self._fallbacks_in_a_row, self._policy.max_fallbacks)
            self._begin_cool_down()
            self.fall_back_to_cpu()
            return False
        return True
