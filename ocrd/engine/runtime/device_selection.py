"""Load the model on the first candidate of the plan that passes the self-test."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from ocrd.engine.runtime.device_plan import Candidate, DevicePlan
from ocrd.engine.runtime.devices import Devices
from ocrd.engine.runtime.failure_log import log_failure
from ocrd.engine.runtime.failures import Failure
from ocrd.engine.runtime.loaded_model import LoadedModel
from ocrd.engine.runtime.self_test import SelfTest
from ocrd.engine.runtime.start_progress import StartProgress
from ocrd.errors import EngineError, ModelError


class DeviceSelection:
    """Tries one candidate after another.

    Attributes:
        skipped: Candidates that failed, each with the reason.
    """

    def __init__(
        self,
        load: Callable[[Candidate], LoadedModel],
        *,
        devices: Devices,
        self_test: SelfTest,
        progress: StartProgress,
    ) -> None:
        self.skipped: list[str] = []
        self._load = load
        self._devices = devices
        self._self_test = self_test
        self._progress = progress
        self._model: LoadedModel | None = None

    def run(self, plan: DevicePlan) -> LoadedModel:
        """Return the model on the first candidate that passes the self-test.

        Raises:
            ModelError: The model's files are broken.
            EngineError: No candidate passes; the message has the reason of each.
        """
        for candidate in plan.candidates:
            try:
                return self._try(candidate)
            except ModelError:
                raise
            except Exception as error:
                self._skip(candidate, error)
        raise EngineError(f"no device passed the self-test: {'; '.join(self.skipped)}")

    def _try(self, candidate: Candidate) -> LoadedModel:
        with self._devices.running(candidate.device):
            if self._model is None:
                self._model = self._load(candidate)
                self._model.check_placement()
                self._model.tune()
            else:
                self._model.move_to(candidate)
            self._self_test.run(self._model.recognizer, self._progress)
            return self._model

    def _skip(self, candidate: Candidate, error: Exception) -> None:
        failure = Failure.from_error(error, candidate)
        self.skipped.append(f"{candidate} ({failure.kind}: {failure.message})")
        log_failure("a device is skipped", failure, error=error, action="the next candidate")
        with contextlib.suppress(Exception):  # a failing device may refuse even that
            self._devices.free_cache(candidate.device)
