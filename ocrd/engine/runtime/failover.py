"""Read pages on the best device that works.

The plan's candidates, the canary, and what follows a failure.

A page that fails is read again (on the CPU in the end) and says so in its `fallbacks`; the next one
goes back. After several in a row the CPU keeps reading until a cool-down ends; then one canary
decides. The weights are moved, never doubled: on a Mac both devices share one memory.
"""

from __future__ import annotations

import contextlib
import platform
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import structlog
import torch
from PIL import Image

from ocrd.checkpoint_format.architecture import read_architecture
from ocrd.checkpoint_format.published_tensors import count_parameters
from ocrd.engine.decode import DecodeLimits
from ocrd.engine.preprocess import tile_grid
from ocrd.engine.recognizer import DeepSeekOCR
from ocrd.engine.runtime.device_plan import (
    BYTES,
    Candidate,
    DevicePlan,
    make_device_plan,
    pages_at_once,
)
from ocrd.engine.runtime.devices import DTYPES, Devices, move, refuse_strays
from ocrd.engine.runtime.failures import Failure, failure_of
from ocrd.engine.runtime.page_queue import PageQueue
from ocrd.engine.runtime.recovery import RecoveryStep, recovery_steps
from ocrd.engine.runtime.self_test import LONGEST, run_self_test
from ocrd.errors import EngineError, FreshWorkerNeeded, ModelError, UsageError
from ocrd.types import Fallback, PageReading

# Five times what a 1024 view takes in float32 on two server cores (11.3 s).
SECONDS_A_VIEW = 60.0
# Seven times what a token takes there (7.2 a second).
SECONDS_A_TOKEN = 1.0


@dataclass(frozen=True)
class Policy:
    """How failures are met."""

    # Pages in a row that may fail before the CPU stays.
    max_fallbacks: int = 3
    # Seconds for which it stays.
    cool_down: float = 600.0


@dataclass(frozen=True)
class _Progress:
    on_token: Callable[[int, int], None]
    on_attempt: Callable[[int], None]

    def attempt(self, index: int) -> None:
        self.on_attempt(index)

    def tokens(self, index: int, count: int) -> None:
        self.on_token(index, count)


class Runner:
    """Holds the one loaded model. `start` first, then `read`."""

    def __init__(
        self,
        model_dir: Path,
        device: str,
        *,
        dtype: str,
        mode: str,
        devices: Devices,
        canary: Path,
        known: str | None,
        policy: Policy = Policy(),
        batch: int | None = None,
        skip_blank: bool = True,
        progress: Callable[[float], None] = lambda _done: None,
        on_canary: Callable[[float], None] = lambda _within: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``batch``: pages at once, None for as many as there is memory for.

        ``on_canary`` is told within how many seconds the picture will be read, or the device hangs.

        Raises EngineError when the device is not there, ModelError for a folder that holds no
        model.
        """
        self._model_dir = model_dir
        self._mode = mode
        self._devices = devices
        self._policy = policy
        self._clock = clock
        self._batch = batch
        self._skip_blank = skip_blank
        self._canary = canary
        self._known = known
        self._progress = progress
        self._on_canary = on_canary
        self._log = structlog.get_logger(component="engine")
        arch = read_architecture(model_dir)
        self._parameters = count_parameters(arch)
        self._page_bytes = arch.decoder.max_kv_elements
        self.plan: DevicePlan = make_device_plan(
            device, dtype, parameters=self._parameters, machine=devices.machine()
        )
        # Candidates that did not pass, each with its reason.
        self.skipped: list[str] = []
        self._engine: DeepSeekOCR | None = None
        self._home = self._here = self.plan.candidates[0]
        # Where a page that failed is read again: in the precision that this machine has the memory
        # for.
        self._on_cpu = next(
            candidate for candidate in self.plan.candidates if candidate.device == "cpu"
        )
        self._in_a_row = 0
        self._back_at = float("-inf")

    @property
    def home(self) -> Candidate:
        """Where pages are read when nothing fails."""
        return self._home

    @property
    def here(self) -> Candidate:
        """Where the model is now."""
        return self._here

    @property
    def mode(self) -> str:
        return self._loaded.mode

    @property
    def _loaded(self) -> DeepSeekOCR:
        assert self._engine is not None, "start comes first"
        return self._engine

    def start(self) -> None:
        """Load and settle on the first candidate that passes its canary.

        Raises ModelError when the files are broken, EngineError when no candidate passes.
        """
        for candidate in self.plan.candidates:
            try:
                self._settle_on(candidate)
            except ModelError:
                raise
            except Exception as error:
                self._skip(candidate, error)
                with contextlib.suppress(Exception):  # a device in trouble may refuse even that
                    self._devices.free_cache(candidate.device)
            else:
                self._home = candidate
                self._log.info(
                    "the engine runs",
                    device=candidate.device,
                    dtype=candidate.dtype,
                    why=candidate.why,
                )
                return
        raise EngineError(f"no device passed: {'; '.join(self.skipped)}")

    def _settle_on(self, candidate: Candidate) -> None:
        place = self._devices.place(candidate.device)
        dtype = DTYPES[candidate.dtype]
        with self._devices.running(candidate.device):
            if self._engine is None:
                self._engine = DeepSeekOCR(self._model_dir, candidate.device, dtype=candidate.dtype, mode=self._mode,
                                           progress=self._progress, torch_device=place, skip_blank=self._skip_blank)  # fmt: skip
                refuse_strays(self._engine.network, place, dtype=dtype)
            else:
                move(self._engine.network, place, dtype=dtype)
            self._here = candidate
            self._engine.device = candidate.device
            self._engine.tune()
            self._on_canary(SECONDS_A_VIEW + SECONDS_A_TOKEN * LONGEST)
            run_self_test(self._engine, self._canary, known=self._known)

    def _skip(self, candidate: Candidate, error: Exception) -> None:
        failure = failure_of(error, candidate.device, dtype=candidate.dtype)
        self.skipped.append(f"{candidate} ({failure.kind}: {failure.message})")
        self._log.error(
            "a device is skipped", **self._about(failure, "the next candidate", error=error)
        )

    def read(
        self,
        image: Image.Image,
        task: str,
        *,
        index: int,
        limits: DecodeLimits,
        on_token: Callable[[int], None] = lambda _count: None,
        on_attempt: Callable[[], None] = lambda: None,
        fresh: bool = False,
    ) -> PageReading:
        """Read one page, on the CPU if need be; ``on_attempt`` is told of each try.

        ``fresh``: this worker was started for a page that used up another.

        Raises EngineError when every remedy failed, FreshWorkerNeeded when only a new process can
        help, UsageError for an unknown task.
        """
        on_attempt()  # a canary may be read first
        self._go_back()
        failed_here = self._here
        fallbacks: list[Fallback] = []
        todo: tuple[RecoveryStep, ...] | None = None
        remedy: RecoveryStep | None = None
        while True:
            try:
                reading = self._read_once(
                    image,
                    task,
                    index=index,
                    limits=limits,
                    on_token=on_token,
                    on_attempt=on_attempt,
                    remedy=remedy,
                )
                break
            except UsageError:
                raise
            except FreshWorkerNeeded as error:
                raise FreshWorkerNeeded(str(error), tuple(fallbacks)) from error
            except Exception as error:
                failure = failure_of(error, self._here.device, dtype=self._here.dtype)
                if todo is None:
                    last = self._here == self._on_cpu
                    todo = recovery_steps(
                        failure.kind,
                        failure.device,
                        mode=self._loaded.mode_for(image).name,
                        fresh=fresh,
                        last=last,
                    )
                if not todo:
                    self._log.error(
                        "a page cannot be read",
                        page=index,
                        **self._about(failure, "the page fails", error=error),
                    )
                    raise EngineError(
                        f"page {index + 1}: {failure.kind} on {self._here}: {failure.message}"
                    ) from error
                remedy, *rest = todo
                todo = tuple(rest)
                self._log.error(
                    "reading a page failed",
                    page=index,
                    **self._about(failure, str(remedy), error=error),
                )
                fallbacks.append(
                    Fallback(
                        index,
                        failure.kind,
                        failure.message,
                        failure.device,
                        failure.dtype,
                        str(remedy),
                    )
                )
                if remedy.step == "fresh-worker":
                    said = f"page {index + 1}: {failure.kind} on {self._here}: {failure.message}"
                    raise FreshWorkerNeeded(said, tuple(fallbacks)) from error
        self._count(failed=any(fallback.then == "cpu" for fallback in fallbacks), where=failed_here)
        return replace(reading, fallbacks=tuple(fallbacks))

    def tuned(self) -> dict[str, Any]:
        """The kernels in use where the model is now, and what was measured.

        A `TuningResult` as a dictionary.
        """
        tuning = self._loaded.tuning
        return asdict(tuning) if tuning else {}

    @property
    def batch(self) -> int:
        """Pages that are decoded at once where the model is now."""
        if self._batch is None:
            page = self._page_bytes * BYTES[self._here.dtype]
            self._batch = pages_at_once(
                self._here, self._parameters, page_bytes=page, machine=self._devices.machine()
            )
        return self._batch

    def read_pages(
        self,
        pages: Iterable[tuple[int, Image.Image]],
        task: str,
        *,
        limits: DecodeLimits,
        on_token: Callable[[int, int], None] = lambda _index, _count: None,
        on_attempt: Callable[[int], None] = lambda _index: None,
        fresh: bool = False,
        alone: bool = False,
    ) -> Iterator[PageReading]:
        """Read pages (index and picture) together, or ``alone``; their readings in the order given.

        When a batch fails, each page that was in it is read alone, with every remedy that `read`
        has; for want of memory smaller batches are tried first. Raises as `read` does, and what
        asking for a page raises, behind the pages before it.
        """
        coming = PageQueue(pages)
        while coming:
            together = self.batch
            if alone or together == 1 or self._here != self._home or coming.only_one():
                index, image = coming.take()
                tell = partial(on_token, index)
                attempt = partial(on_attempt, index)
                try:
                    reading_alone = self.read(
                        image,
                        task,
                        index=index,
                        limits=limits,
                        on_token=tell,
                        on_attempt=attempt,
                        fresh=fresh,
                    )
                except FreshWorkerNeeded as error:
                    raise FreshWorkerNeeded(
                        str(error), (*coming.finish(index), *error.fallbacks)
                    ) from error
                yield self._with(coming, reading_alone)
                continue
            readings = self._loaded.read_pages(
                coming,
                task,
                limits=limits,
                progress=_Progress(on_token=on_token, on_attempt=on_attempt),
                slots=together,
            )
            try:
                while reading := self._next(readings):
                    yield self._with(coming, reading)
                self._devices.free_cache(
                    self._here.device
                )  # the batch's keys and values would count as growth
            except UsageError:
                raise
            except Exception as error:
                self._part(
                    coming,
                    failure_of(error, self._here.device, dtype=self._here.dtype),
                    error=error,
                )

    def _next(self, readings: Iterator[PageReading]) -> PageReading | None:
        with self._devices.running(self._here.device):
            return next(readings, None)

    def _part(self, coming: PageQueue, failure: Failure, *, error: Exception) -> None:
        """After a batch failed: smaller ones for want of memory, else its pages alone."""
        then = "alone"
        if failure.kind == "mps-oom" and self.batch > 2:
            self._batch = self.batch // 2
            then = f"smaller-batch ({self._batch})"
            self._devices.free_cache(self._here.device)
        self._log.error(
            "reading pages together failed",
            pages=coming.in_hand,
            **self._about(failure, then, error=error),
        )
        for index in coming.in_hand:
            coming.mishaps[index].append(
                Fallback(index, failure.kind, failure.message, failure.device, failure.dtype, then)
            )
        coming.give_back(alone=then == "alone")

    def _with(self, coming: PageQueue, reading: PageReading) -> PageReading:
        """The reading with what befell its page in batches before."""
        befell = coming.finish(reading.index)
        return replace(reading, fallbacks=(*befell, *reading.fallbacks)) if befell else reading

    def budget(self, image: Image.Image, tokens: int) -> float:
        """Seconds within which this page's first ``tokens`` will be there on the slowest
        machine, or it hangs.
        """
        views = 1 + (prod(tile_grid(*image.size)) if self._loaded.mode_for(image).tiled else 0)
        return SECONDS_A_VIEW * views + SECONDS_A_TOKEN * tokens

    def driver_memory(self) -> int:
        """Bytes that the device's driver has given to this process."""
        return self._devices.used(self._here.device)

    def _read_once(
        self,
        image: Image.Image,
        task: str,
        *,
        index: int,
        limits: DecodeLimits,
        on_token: Callable[[int], None],
        on_attempt: Callable[[], None],
        remedy: RecoveryStep | None,
    ) -> PageReading:
        if remedy and remedy.step == "free-cache":
            self._devices.free_cache(self._here.device)
        if remedy and remedy.step == "cpu":
            self._retreat()
        with self._devices.running(self._here.device):
            mode = remedy.mode if remedy else None
            return self._loaded.read(
                image,
                task,
                index=index,
                limits=limits,
                progress=_Progress(
                    on_token=lambda _index, count: on_token(count),
                    on_attempt=lambda _index: on_attempt(),
                ),
                mode=mode,
            )

    def _move_to(self, candidate: Candidate) -> None:
        before = self._here.device
        move(
            self._loaded.network,
            self._devices.place(candidate.device),
            dtype=DTYPES[candidate.dtype],
        )
        self._loaded.device = candidate.device
        self._here = candidate
        self._loaded.tune()
        if before != candidate.device:
            self._devices.free_cache(before)  # torch would keep what the weights left behind

    def _retreat(self) -> None:
        """Bring the model to the CPU.

        Raises FreshWorkerNeeded when it does not come: half of it may be there.
        """
        try:
            self._move_to(self._on_cpu)
        except Exception as error:
            failure = failure_of(error, self._here.device, dtype=self._here.dtype)
            self._log.error(
                "the model cannot be brought to the CPU",
                **self._about(failure, "fresh-worker", error=error),
            )
            raise FreshWorkerNeeded(
                f"the model cannot be brought to the CPU: {failure.message}"
            ) from error

    def _count(self, *, failed: bool, where: Candidate) -> None:
        """Failures in a row at home; enough of them, and the CPU stays for a while."""
        if where != self._home or self._home == self._on_cpu:
            return
        self._in_a_row = self._in_a_row + 1 if failed else 0
        if self._in_a_row >= self._policy.max_fallbacks:
            self._back_at = self._clock() + self._policy.cool_down
            self._log.warning(
                "the CPU reads for a while",
                after=self._in_a_row,
                seconds=self._policy.cool_down,
                away_from=str(self._home),
            )

    def _go_back(self) -> None:
        """The next page goes home again.

        After a cool-down the canary has to be read there first.
        """
        if self._here == self._home:
            return
        if self._in_a_row < self._policy.max_fallbacks:
            self._try(self._move_to, self._home)
        elif self._clock() >= self._back_at:
            if self._try(self._settle_on, self._home):
                self._in_a_row = 0
                self._log.info(
                    "back on the device", device=self._home.device, dtype=self._home.dtype
                )
            else:
                self._back_at = self._clock() + self._policy.cool_down

    def _try(self, go: Callable[[Candidate], None], where: Candidate) -> bool:
        """Go there; on a failure the model is brought to the CPU, where it works.

        Raises as `_retreat` does.
        """
        try:
            go(where)
        except Exception as error:
            failure = failure_of(error, where.device, dtype=where.dtype)
            self._log.error(
                "the device cannot be used yet", **self._about(failure, "cpu", error=error)
            )
            self._in_a_row = max(self._in_a_row, self._policy.max_fallbacks)
            self._back_at = self._clock() + self._policy.cool_down
            self._retreat()
            return False
        return True

    def _about(self, failure: Failure, then: str, *, error: BaseException) -> dict[str, str]:
        """Everything that a report of this failure needs, with the whole stack trace, causes and
        all.
        """
        return {
            "kind": failure.kind,
            "error": failure.message,
            "device": failure.device,
            "dtype": failure.dtype,
            "then": then,
            "torch": torch.__version__,
            "system": platform.mac_ver()[0] or platform.platform(),
            "stack": "".join(traceback.format_exception(error)),
        }
