"""The one loaded model, and the device on which it is."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path

import structlog

from ocrd.engine.recognizer import DeepSeekOCR
from ocrd.engine.runtime.device_plan import Candidate
from ocrd.engine.runtime.devices import DTYPES, Devices, check_placement, move


class LoadedModel:
    """The loaded model and the candidate as which it is used.

    Weights are moved between devices and never copied: on a Mac, both devices share one memory.
    """

    def __init__(self, recognizer: DeepSeekOCR, candidate: Candidate, *, devices: Devices) -> None:
        self.recognizer = recognizer
        self._current = candidate
        self._devices = devices

    @property
    def current(self) -> Candidate:
        """The device and dtype in which the model is now."""
        return self._current

    def move_to(self, candidate: Candidate) -> None:
        """Move the weights, and choose the fastest kernels there.

        Raises:
            EngineError: A tensor stayed behind.
            Exception: Whatever the device raises. Half of the model may have been moved then.
        """
        previous = self._current.device
        torch_device = self._devices.torch_device(candidate.device)
        move(self.recognizer.network, torch_device, dtype=DTYPES[candidate.dtype])
        self._current = candidate
        self.recognizer.device = candidate.device
        self.tune()
        if previous != candidate.device:
            self._devices.free_cache(previous)  # torch would keep the memory of the weights

    def tune(self) -> None:
        """Choose the fastest kernels where the model is now. Takes no time where it was before."""
        is_new = self.recognizer.tuning is None
        self.recognizer.tune()
        if is_new and self.recognizer.tuning:
            structlog.get_logger(component="engine").info(
                "kernels chosen",
                device=self._current.device,
                dtype=self._current.dtype,
                **asdict(self.recognizer.tuning),
            )

    def check_placement(self) -> None:
        """Check that all parts of the model are where they should be.

        Raises:
            EngineError: A tensor is elsewhere.
        """
        torch_device = self._devices.torch_device(self._current.device)
        dtype = DTYPES[self._current.dtype]
        check_placement(self.recognizer.network, torch_device, dtype=dtype)

    def running_on(self, candidate: Candidate) -> AbstractContextManager[None]:
        """Return a context around everything that runs on the candidate's device."""
        return self._devices.running(candidate.device)

    def free_cache(self) -> None:
        """Free the memory that torch keeps for later on the current device."""
        self._devices.free_cache(self._current.device)

    def driver_bytes(self) -> int:
        """Return the memory that the current device's driver gave to this process."""
        return self._devices.driver_bytes(self._current.device)


def load_model(
    model_dir: Path,
    candidate: Candidate,
    *,
    mode: str,
    skip_blank: bool,
    devices: Devices,
    progress: Callable[[float], None],
) -> LoadedModel:
    """Load the model on ``candidate``.

    Args:
        model_dir: Folder of the checkpoint.
        candidate: Device and dtype.
        mode: Resolution mode of its pages.
        skip_blank: Whether blank pages are recognised without the model.
        devices: The machine's devices.
        progress: Called with the share of the weights that is loaded, 0 to 1.

    Raises:
        ModelError: The folder holds no such model.
    """
    recognizer = DeepSeekOCR(
        model_dir,
        candidate.device,
        dtype=candidate.dtype,
        mode=mode,
        skip_blank=skip_blank,
        progress=progress,
        torch_device=devices.torch_device(candidate.device),
    )
    return LoadedModel(recognizer, candidate, devices=devices)
