"""The default backend: the model on this machine, in a worker process that can be replaced."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import structlog

from ocrd.backends.conversation import GRACE_S, Conversation
from ocrd.config import Config
from ocrd.errors import BackendCrashed, EngineError, ModelError, ReadDeferred, ReadRefused
from ocrd.read_protocol import (
    DocumentDeferred,
    DocumentEvent,
    DocumentOpened,
    DocumentRefused,
    PageEvent,
    PageRead,
    ReadRequest,
    TokensWritten,
)
from ocrd.status import EngineLoading, EngineReady, PreparationStatus, WaitingForModel
from ocrd.types import BackendInfo
from ocrd.worker.from_config import memory_limits, worker_setup
from ocrd.worker.memory_limit import MemoryLimits, recycle_reason
from ocrd.worker.messages import (
    MemoryUsage,
    Preparing,
    SelfTestStarted,
    StartFailed,
    WorkerReady,
    WorkerSetup,
)
from ocrd.worker.process import WorkerProcess

# Workers that may die while they load before only the CPU is used for a while.
MAX_GPU_LOAD_CRASHES = 2
GPU_DISABLED = "every device but the CPU (a worker died there; retried after engine.cool_down)"

StatusListener = Callable[[PreparationStatus | EngineReady], None]


class DiedLoading(BackendCrashed):
    """The worker died while it moved the model to its device."""


class LocalBackend:
    """One worker at a time: started when it is first needed, kept until `stop` or `unload`."""

    def __init__(
        self,
        setup: WorkerSetup,
        load_deadline_s: float,
        *,
        on_status: StatusListener = lambda _status: None,
        on_end: Callable[[], None] = lambda: None,
        memory_limits: MemoryLimits = MemoryLimits(),  # noqa: B008 - frozen
        module: str = "ocrd.worker.child",
    ) -> None:
        """Nothing is started yet.

        Args:
            setup: What the worker loads.
            load_deadline_s: Seconds for loading the model.
            on_status: Called with every step of a starting worker.
            on_end: Called from another thread when a worker has ended.
            memory_limits: A worker that exceeds them is replaced after its document.
            module: The Python module that runs as the worker.
        """
        self._setup = setup
        self._load_deadline_s = load_deadline_s
        self._on_status = on_status
        self._on_end = on_end
        self._memory_limits = memory_limits
        self._module = module
        self._worker: WorkerProcess | None = None
        self._info: BackendInfo | None = None
        self._loaded = False
        self._cpu_only = False
        self._first_memory: MemoryUsage | None = None
        self._gpu_crashes = 0
        self._gpu_back_at = float("-inf")
        self._lock = threading.Lock()
        self._stopping = False
        self._log = structlog.get_logger(component="worker")

    @property
    def pid(self) -> int | None:
        """The worker's process id; None when there is none."""
        return self._worker.pid if self._worker else None

    @property
    def info(self) -> BackendInfo | None:
        """What read last, or will read; None before the first start."""
        return self._info

    @property
    def ready(self) -> bool:
        """Whether a worker with a loaded model is waiting for requests."""
        return self._worker is not None and self._loaded and self._worker.alive

    def start(self, *, verify_fully: bool = False, cpu_only: bool = False) -> BackendInfo:
        """Start a worker and wait until its model is complete and loaded.

        Returns immediately when one is ready. The deadline is for loading: a download may take
        hours, and every step of it starts the deadline again.

        Args:
            verify_fully: Hash every byte of the model first.
            cpu_only: Use no other device.

        Raises:
            ModelError: The model is broken and cannot be healed.
            EngineError: No device can be used.
            BackendCrashed: The worker ended or took too long.
        """
        cpu_only = cpu_only or time.monotonic() < self._gpu_back_at
        if self._info is not None and self.ready and self._cpu_only == cpu_only:
            return self._info
        self._close()
        try:
            return self._start_worker(verify_fully=verify_fully, cpu_only=cpu_only)
        except DiedLoading:
            # The device itself may kill a worker that loads: a Metal assertion cannot be caught.
            if not cpu_only:
                self._gpu_crashes += 1
            if self._gpu_crashes >= MAX_GPU_LOAD_CRASHES:
                self._gpu_crashes = 0
                self._gpu_back_at = time.monotonic() + self._setup.cool_down_s
                self._log.warning(
                    "only the CPU is used for a while", seconds=self._setup.cool_down_s
                )
            raise

    def read(self, request: ReadRequest, *, cpu_only: bool = False) -> Iterator[PageEvent]:
        """See `Backend.read`."""
        for event in self._converse([request], cpu_only=cpu_only):
            match event:
                case DocumentRefused():
                    raise ReadRefused(event.reason, event.message)
                case DocumentDeferred():
                    raise ReadDeferred(event.message)
                case DocumentOpened() | TokensWritten() | PageRead():
                    yield event

    def read_together(self, requests: Sequence[ReadRequest]) -> Iterator[DocumentEvent]:
        """See `Backend.read_together`."""
        yield from self._converse(requests, cpu_only=False)

    def unload(self) -> None:
        """End the worker; the next request starts another."""
        self._close()

    def stop(self) -> None:
        """End the worker now, from any thread, and start no other."""
        with self._lock:
            self._stopping = True
            worker = self._worker
        if worker is not None:
            worker.kill()

    def _start_worker(self, *, verify_fully: bool, cpu_only: bool) -> BackendInfo:
        with self._lock:
            if self._stopping:
                raise BackendCrashed("the worker is being stopped")
            self._cpu_only = cpu_only
            self._first_memory = None
            setup = replace(
                self._setup,
                verify_fully=verify_fully,
                device="cpu" if cpu_only else self._setup.device,
            )
            self._worker = WorkerProcess(setup, module=self._module, on_end=self._on_end)
        info = self._wait_until_ready(self._worker)
        if cpu_only and self._setup.device != "cpu":
            info = replace(info, skipped=(*info.skipped, GPU_DISABLED))
        if not cpu_only:
            self._gpu_crashes = 0
        self._info = info
        self._loaded = True
        self._on_status(EngineReady(info, self._worker.pid, time.time()))
        self._log.info("the model is loaded", pid=self._worker.pid, **vars(info))
        return info

    def _wait_until_ready(self, worker: WorkerProcess) -> BackendInfo:
        deadline = time.monotonic() + self._load_deadline_s
        doing = "starting"
        loading = False
        while True:
            try:
                message = worker.receive(deadline, doing)
            except BackendCrashed as error:
                if not loading:
                    raise
                raise DiedLoading(str(error)) from error
            match message:
                case Preparing(status):
                    loading = isinstance(status, EngineLoading)
                    doing = _describe(status)
                    if not loading:
                        deadline = time.monotonic() + self._load_deadline_s
                    if isinstance(status, WaitingForModel):
                        deadline += status.retry_in_s
                    self._on_status(status)
                case SelfTestStarted(timeout_s):
                    deadline = time.monotonic() + timeout_s + GRACE_S
                case WorkerReady(backend):
                    return backend
                case StartFailed():
                    self._close()
                    error_class = ModelError if message.kind == "model" else EngineError
                    raise error_class(message.message)
                case _:
                    self._log.warning("a starting worker sent an unexpected message")

    def _converse(
        self, requests: Sequence[ReadRequest], *, cpu_only: bool
    ) -> Iterator[DocumentEvent]:
        self.start(cpu_only=cpu_only)
        assert self._worker is not None
        conversation = Conversation(self._worker, requests)
        try:
            yield from conversation.events()
        finally:
            # A caller that leaves in the middle: the rest of the answers must not reach the next.
            if not conversation.ended:
                self._close()
        if conversation.memory is not None:
            self._recycle(conversation.memory)

    def _recycle(self, memory: MemoryUsage) -> None:
        """End a worker that has grown too large; the next job gets a new one."""
        self._first_memory = self._first_memory or memory
        reason = recycle_reason(self._first_memory, memory, limits=self._memory_limits)
        if reason is not None:
            self._log.info("the worker is replaced", reason=reason, pid=self.pid)
            self._close()

    def _close(self) -> None:
        worker = self._worker
        self._worker = None
        self._loaded = False
        if worker is not None:
            worker.close()


def _describe(status: PreparationStatus) -> str:
    """What the worker is doing, for an error message."""
    match status:
        case WaitingForModel():
            return "waiting for the model"
        case EngineLoading():
            return "loading the model"
        case _:
            return f"{status.state} the model"


def make_local_backend(
    config: Config,
    *,
    max_fetch_tries: int | None = None,
    on_status: StatusListener = lambda _status: None,
    on_end: Callable[[], None] = lambda: None,
    module: str = "ocrd.worker.child",
) -> LocalBackend:
    """The backend that ``config`` describes; see `LocalBackend`.

    Args:
        config: The configuration.
        max_fetch_tries: Failed tries in a row to fetch the model before it gives up; None: never.
        on_status: Called with every step of a starting worker.
        on_end: Called from another thread when a worker has ended.
        module: The Python module that runs as the worker.
    """
    return LocalBackend(
        worker_setup(config, max_fetch_tries),
        config.engine.load_deadline,
        on_status=on_status,
        on_end=on_end,
        memory_limits=memory_limits(config),
        module=module,
    )
