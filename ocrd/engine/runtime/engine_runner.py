"""The engine as the worker uses it: started once, then asked for pages.

`EngineRunner` connects the parts, and each part does one job: `device_plan` and `device_selection`
choose the device, `failover` moves between it and the CPU, `page_recovery` reads one page, and
`batches` reads pages together.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from math import prod
from pathlib import Path

import structlog
from PIL import Image

from ocrd.checkpoint_format.architecture import read_architecture
from ocrd.checkpoint_format.published_tensors import count_parameters
from ocrd.engine.nn.autotune import TuningResult
from ocrd.engine.preprocess import tile_grid
from ocrd.engine.runtime.batches import BatchReader
from ocrd.engine.runtime.device_plan import (
    BYTES_PER_VALUE,
    Candidate,
    DevicePlan,
    largest_batch,
    make_device_plan,
)
from ocrd.engine.runtime.device_selection import DeviceSelection
from ocrd.engine.runtime.devices import Devices
from ocrd.engine.runtime.failover import Failover, FailoverPolicy
from ocrd.engine.runtime.loaded_model import LoadedModel, load_model
from ocrd.engine.runtime.page_queue import PageQueue
from ocrd.engine.runtime.page_recovery import PageReader
from ocrd.engine.runtime.read_options import ReadOptions
from ocrd.engine.runtime.self_test import SelfTest
from ocrd.engine.runtime.start_progress import NoStartProgress, StartProgress
from ocrd.engine.runtime.time_limits import page_timeout_s
from ocrd.types import PageReading


@dataclass(frozen=True)
class EngineOptions:
    """How the model runs.

    Attributes:
        device: ``mps``, ``cuda``, ``cpu`` or ``auto``.
        dtype: ``float32``, ``bfloat16`` or ``auto``.
        mode: Resolution mode, or ``auto``.
        batch: Most pages that are decoded at the same time; None for as many as fit in memory.
        skip_blank: Whether blank pages are recognised without the model.
        failover: When the CPU takes over.
    """

    device: str = "auto"
    dtype: str = "auto"
    mode: str = "auto"
    batch: int | None = None
    skip_blank: bool = True
    failover: FailoverPolicy = field(default_factory=FailoverPolicy)


@dataclass(frozen=True)
class _Started:
    """The parts of an engine that is started."""

    model: LoadedModel
    failover: Failover
    batches: BatchReader


class EngineRunner:
    """Reads pages on the best device that works. Call `start` before anything else.

    Attributes:
        plan: The devices to try.
    """

    def __init__(
        self,
        model_dir: Path,
        options: EngineOptions,
        *,
        devices: Devices,
        self_test: SelfTest,
        progress: StartProgress = NoStartProgress(),  # noqa: B008 - without state
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Plan which devices to try, without loading the model.

        Args:
            model_dir: Folder of the checkpoint.
            options: How the model runs.
            devices: The machine's devices.
            self_test: What a device must pass.
            progress: Receives the progress of the start, and each self-test.
            clock: Seconds from any start, for the cool-down.

        Raises:
            EngineError: This machine does not have the device.
            ModelError: The folder holds no such model.
        """
        self._options = options
        self._devices = devices
        self._self_test = self_test
        self._progress = progress
        self._clock = clock
        architecture = read_architecture(model_dir)
        self._parameters = count_parameters(architecture)
        self._kv_elements_per_page = architecture.decoder.max_kv_elements
        self.plan: DevicePlan = make_device_plan(
            options.device,
            options.dtype,
            parameters=self._parameters,
            machine=devices.machine(),
        )
        load = partial(
            load_model,
            model_dir,
            mode=options.mode,
            skip_blank=options.skip_blank,
            devices=devices,
            progress=progress.loaded,
        )
        self._selection = DeviceSelection(
            load, devices=devices, self_test=self_test, progress=progress
        )
        self._started: _Started | None = None

    def start(self) -> None:
        """Load the model on the first device of the plan that passes the self-test.

        Raises:
            EngineError: No device passes.
            ModelError: The model's files are broken.
        """
        model = self._selection.run(self.plan)
        failover = Failover(
            model,
            cpu=next(candidate for candidate in self.plan.candidates if candidate.device == "cpu"),
            policy=self._options.failover,
            self_test=self._self_test,
            progress=self._progress,
            clock=self._clock,
        )
        page_reader = PageReader(model, failover)
        batch = self._options.batch
        if batch is None:
            batch = self._largest_batch(model.current)
        batches = BatchReader(model, failover, page_reader=page_reader, batch=batch)
        self._started = _Started(model, failover, batches)
        structlog.get_logger(component="engine").info(
            "the engine is ready",
            device=model.current.device,
            dtype=model.current.dtype,
            reason=model.current.reason,
        )

    @property
    def skipped(self) -> tuple[str, ...]:
        """Candidates that failed the self-test, each with the reason."""
        return tuple(self._selection.skipped)

    @property
    def primary(self) -> Candidate:
        """Where pages are read unless something fails."""
        return self._parts.failover.primary

    @property
    def current(self) -> Candidate:
        """Where the model is now."""
        return self._parts.model.current

    @property
    def mode(self) -> str:
        """The resolution mode, or ``auto``."""
        return self._parts.model.recognizer.mode

    @property
    def batch(self) -> int:
        """Most pages that are decoded at the same time."""
        return self._parts.batches.batch

    @property
    def tuning(self) -> TuningResult:
        """The kernels in use where the model is now, and their measured speeds."""
        tuning = self._parts.model.recognizer.tuning
        assert tuning is not None, "every move tunes the model"
        return tuning

    def read_pages(
        self, pages: Iterable[tuple[int, Image.Image]], options: ReadOptions
    ) -> Iterator[PageReading]:
        """Read the pages of a document, and yield their readings in the same order.

        Args:
            pages: Index and upright RGB picture of each page, requested when there is room.
            options: How the pages are read.

        Raises:
            EngineError: A page cannot be read.
            FreshWorkerNeeded: Only a new process can read the next page.
            UsageError: There is no such task.
            Exception: What ``pages`` raised, after the pages before it.
        """
        return self._parts.batches.read(PageQueue(pages), options)

    def timeout_s(self, image: Image.Image, *, tokens: int) -> float:
        """Return the seconds within which a page has its first ``tokens``, or the device hangs."""
        mode = self._parts.model.recognizer.mode_for(image)
        tiles = prod(tile_grid(*image.size)) if mode.tiled else 0
        return page_timeout_s(views=1 + tiles, tokens=tokens)

    def driver_bytes(self) -> int:
        """Return the memory that the device's driver gave to this process."""
        return self._parts.model.driver_bytes()

    @property
    def _parts(self) -> _Started:
        assert self._started is not None, "call start() first"
        return self._started

    def _largest_batch(self, candidate: Candidate) -> int:
        page_bytes = self._kv_elements_per_page * BYTES_PER_VALUE[candidate.dtype]
        return largest_batch(
            candidate, self._parameters, page_bytes=page_bytes, machine=self._devices.machine()
        )
