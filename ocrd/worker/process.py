"""The parent's side of the worker: start it, ask it, and replace it when it dies or hangs.

A subprocess, never a fork: FSEvents and Metal do not survive one.
"""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import IO, Any

import structlog

from ocrd.errors import EngineError, ModelError, OcrdError
from ocrd.worker.memory import Memory, MemoryLimits, recycle_reason
from ocrd.worker.messages import Message, Request, Setup, asking, parse, send

# Seconds beyond what a step may take before a worker counts as hung: the engine ends a page by
# itself.
GRACE = 60.0
# Seconds without any sign of life: a worker gives one every 5 s, whatever it waits for.
SILENCE = 60.0
LOADING = "loading the model"
# Workers that may die while loading before the CPU alone is used for a while.
DEATHS_ON_GPU = 2
GPU_OFF = "every device but the CPU (a worker died there; tried again after engine.cool_down)"
# Bytes: no page's text comes near; a worker that says more in one breath has lost its mind.
LONGEST_LINE = 64 * 1024 * 1024
# Seconds for opening a document or drawing its next page.
OPENING = 300.0
# Seconds for a handful of tokens, on any machine.
BETWEEN_TOKENS = 60.0


class WorkerDied(EngineError):
    """The worker ended, or was ended, while something was asked of it. The job can run again."""


class DiedLoading(WorkerDied):
    """It died while the model was brought to its device."""


class WorkerRetired(EngineError):
    """The worker is used up (its GPU, its memory); a new one can read the job."""

    def __init__(self, message: str, fallbacks: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(message)
        # What was tried before, as `types.Fallback` in JSON.
        self.fallbacks = fallbacks


@dataclass(frozen=True)
class Ready:
    """What the worker runs on, as it said itself."""

    device: str
    dtype: str
    mode: str
    torch: str
    transformers: str
    # repo and revision, as the model's own manifest says.
    model: Mapping[str, str | None]
    # Devices that did not pass, with their reasons.
    skipped: Sequence[str] = ()
    # Pages that are decoded at once.
    batch: int = 1
    # How things are multiplied there: the ways that were chosen, and what was measured.
    tuned: Mapping[str, Any] = field(default_factory=dict)


class Worker:
    """One worker at a time; started when first needed or by `start`, kept warm until `stop`."""

    def __init__(
        self,
        setup: Setup,
        load_deadline: float,
        *,
        on_preparing: Callable[[Message], None] = lambda _message: None,
        on_end: Callable[[], None] = lambda: None,
        memory_limits: MemoryLimits = MemoryLimits(),  # noqa: B008 - frozen
        module: str = "ocrd.worker.child",
    ) -> None:
        """``on_preparing`` is told what a starting worker does.

        ``on_end``, from another thread, that one has ended.

        ``module`` is what runs as the worker.
        """
        self._setup = setup
        self._load_deadline = load_deadline
        self._on_preparing = on_preparing
        self._on_end = on_end
        self._memory_limits = memory_limits
        self._module = module
        self._first_memory: Memory | None = None
        self._on_cpu = False
        self._deaths_on_gpu = 0
        self._gpu_back_at = float("-inf")
        self._log = structlog.get_logger(component="worker")
        self._process: subprocess.Popen[bytes] | None = None
        self._requests: IO[bytes] | None = None
        self._answers: queue.Queue[Message | None] = queue.Queue()
        self._hung_up = threading.Event()
        self._lock = threading.Lock()
        self._stopping = False
        self.ready: Ready | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def warm(self) -> bool:
        alive = self._process is not None and self._process.poll() is None
        return self.ready is not None and alive and not self._hung_up.is_set()

    def start(self, *, distrust: bool = False, on_cpu: bool = False) -> Ready:
        """Start the worker and wait until its model is whole and loaded; at once when it is warm.

        With ``distrust`` the model is hashed in full first; with ``on_cpu`` no other device is
        used. The deadline is for loading: fetching may take hours, and each sign of it begins the
        deadline anew. Raises ModelError or EngineError as the worker says, WorkerDied when it ended
        or took too long.
        """
        on_cpu = on_cpu or time.monotonic() < self._gpu_back_at
        if self.ready is not None and self.warm and self._on_cpu == on_cpu:
            return self.ready
        self._end()
        try:
            return self._started(distrust=distrust, on_cpu=on_cpu)
        except DiedLoading:
            # What kills a worker while it loads may be the device itself: a Metal assertion cannot
            # be caught.
            self._deaths_on_gpu += not on_cpu
            if self._deaths_on_gpu >= DEATHS_ON_GPU:
                self._deaths_on_gpu = 0
                self._gpu_back_at = time.monotonic() + self._setup.cool_down
                self._log.warning(
                    "the CPU alone is used for a while", seconds=self._setup.cool_down
                )
            raise

    def _started(self, *, distrust: bool, on_cpu: bool) -> Ready:
        with self._lock:
            if self._stopping:
                raise WorkerDied("the worker is being stopped")
            self._on_cpu = on_cpu
            self._first_memory = None
            device = "cpu" if on_cpu else self._setup.device
            self._spawn(replace(self._setup, distrust=distrust, device=device))
        deadline = time.monotonic() + self._load_deadline
        doing = "starting"
        while True:
            try:
                message = self._next(deadline, doing)
            except WorkerDied as error:
                if doing != LOADING:
                    raise
                raise DiedLoading(str(error)) from error
            match message["event"]:
                case "preparing":
                    doing = f"{message['state']} the model".replace(
                        "waiting the", "waiting for the"
                    )
                    deadline = time.monotonic() + self._load_deadline + message.get("seconds", 0.0)
                    self._on_preparing(message)
                case "loading":
                    doing = LOADING
                    self._on_preparing(message)
                case "canary":
                    deadline = time.monotonic() + message["within"] + GRACE
                case "ready":
                    self._deaths_on_gpu = 0 if not on_cpu else self._deaths_on_gpu
                    if on_cpu and self._setup.device != "cpu":
                        message["skipped"] = [*message.get("skipped", ()), GPU_OFF]
                    self.ready = Ready(**{k: v for k, v in message.items() if k != "event"})
                    self._on_preparing(message | {"state": "ready", "pid": self.pid})
                    self._log.info("the model is loaded", pid=self.pid, **vars(self.ready))
                    return self.ready
                case "refused":
                    self._end()
                    raise _refusal(message)

    def read(self, request: Request, *, on_cpu: bool = False) -> Iterator[Message]:
        """Ask for a document; yields ``opened``, ``tokens`` and ``page`` messages, ends when it
        is finished.

        Raises the error that the worker reports (see `Refused`), WorkerDied when it dies or hangs,
        WorkerRetired when only another one can read it.
        """
        for message in self._conversation([request], on_cpu=on_cpu):
            match message["event"]:
                case "refused":
                    raise Refused(message["reason"], message["message"], error=message["error"])
                case "transient":
                    raise Transient(message["message"])
                case "opened" | "tokens" | "page":
                    yield message

    def read_together(self, requests: Sequence[Request]) -> Iterator[Message]:
        """Ask for several pictures of one page each at once.

        Every message bears the ``job`` that it is about.

        Beside what `read` yields there are ``finished``, ``refused`` and ``transient``, one of them
        for each picture. Raises WorkerDied, WorkerRetired and ReadApart for all pictures that have
        none of them yet.
        """
        yield from self._conversation(requests, on_cpu=False)

    def _conversation(  # noqa: PLR0912 - a case for each event
        self, requests: Sequence[Request], *, on_cpu: bool
    ) -> Iterator[Message]:
        self.start(on_cpu=on_cpu)
        assert self._requests is not None
        try:
            send(self._requests, asking(requests))
        except OSError as error:
            self._end()
            raise WorkerDied(f"the worker ended before it took the job ({error})") from error
        what = requests[0].file.name if len(requests) == 1 else f"{len(requests)} pictures together"
        starts = {request.job: request.start for request in requests}
        # Pages that have not come yet, by the jobs that are not concluded.
        missing = dict.fromkeys(starts, 0)
        within = OPENING
        try:
            while missing:
                message = self._next(time.monotonic() + within + GRACE, f"reading {what}")
                job: str = message.get("job") or ""
                if job and job not in missing:
                    continue
                match message["event"]:
                    case "finished" if missing[job] > 0:
                        raise WorkerDied(
                            f"the worker said that it had finished, but {missing[job]} pages did not come"
                        )
                    case "finished":
                        del missing[job]
                        if not missing:
                            self._recycle(Memory(*message["memory"]))
                    case "refused" | "transient":
                        missing.pop(job)
                    case "retire":
                        raise WorkerRetired(message["message"], message.get("fallbacks", ()))
                    case "apart":
                        missing.clear()
                        raise ReadApart(message["message"])
                    case "reading":
                        within = message["within"]
                    case "drawing":
                        within = OPENING
                    case "tokens":
                        within = BETWEEN_TOKENS
                    case "opened":
                        missing[job] = message["pages"] - starts[job]
                        within = OPENING
                    case "page":
                        missing[job] -= 1
                        within = OPENING
                yield message
        finally:
            if (
                missing
            ):  # the caller went away in the middle: its answers must not reach the next job
                self._end()

    def rest(self) -> None:
        """Let the model go; the next `start` or `read` loads it again.

        From the thread that reads.
        """
        self._end()

    def stop(self) -> None:
        """End the worker now, from any thread; a `read` in progress raises WorkerDied."""
        with self._lock:
            self._stopping = True
            process = self._process
        if process is not None:
            process.kill()
        self._answers.put(None)

    def _spawn(self, setup: Setup) -> None:
        child_reads, we_write = os.pipe()
        we_read, child_writes = os.pipe()
        # -P: a queue.py or torch/ in the folder that we were started in is no module of ours.
        argv = [sys.executable, "-P", "-m", self._module, str(child_reads), str(child_writes)]
        try:
            self._process = subprocess.Popen(
                argv,
                pass_fds=(child_reads, child_writes),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # libraries print there
                stderr=None,
                env={**os.environ, "TOKENIZERS_PARALLELISM": "false"},
            )
        finally:
            os.close(child_reads)
            os.close(child_writes)
        self._requests = os.fdopen(we_write, "wb")
        self._answers = queue.Queue()
        self._hung_up = threading.Event()
        threading.Thread(
            target=self._listen,
            args=(os.fdopen(we_read, "rb"), self._answers, self._hung_up, self._process),
            name="worker-pipe",
            daemon=True,
        ).start()
        send(self._requests, setup)

    def _listen(  # noqa: PLR0917 - a thread's target
        self,
        pipe: IO[bytes],
        answers: queue.Queue[Message | None],
        hung_up: threading.Event,
        process: subprocess.Popen[bytes],
    ) -> None:
        with pipe:
            while line := pipe.readline(LONGEST_LINE):
                if not line.endswith(b"\n"):
                    break  # it ended in mid-line, or never will
                message = parse(line)
                if message is None or "event" not in message:
                    self._log.warning(
                        "the worker said something that is no message",
                        line=line[:200].decode("ascii", "replace"),
                    )
                else:
                    answers.put(message)
        process.kill()  # nothing that it may still say would be heard
        hung_up.set()  # its pipe is closed before the system knows that it has ended
        answers.put(None)
        self._on_end()

    def _recycle(self, memory: Memory) -> None:
        """End a worker that has become too large; the next job gets a new one."""
        self._first_memory = self._first_memory or memory
        if why := recycle_reason(self._first_memory, memory, limits=self._memory_limits):
            self._log.info("the worker is replaced", why=why, pid=self.pid)
            self._end()

    def _next(self, deadline: float, doing: str) -> Message:
        heard = time.monotonic()
        while True:
            try:
                message = self._answers.get(
                    timeout=max(0.0, min(deadline, heard + SILENCE) - time.monotonic())
                )
            except queue.Empty:
                self._end()
                raise WorkerDied(f"the worker was ended: it gave no sign while {doing}") from None
            if message is None:
                code = self._end()
                raise WorkerDied(f"the worker died while {doing} ({_said(code)})")
            heard = time.monotonic()
            if message["event"] == "alive":
                continue
            if message["event"] != "log":
                return message
            log = self._log.bind(job=message.get("job"))
            getattr(log, message["level"])(message["message"], **message.get("fields", {}))

    def _end(self) -> int | None:
        """Kill the process if it still runs, and reap it: its exit code."""
        process = self._process
        self._process = None
        self.ready = None
        if process is None:
            return None
        if self._requests is not None:
            try:
                self._requests.close()
            except OSError:
                self._log.debug("the worker's pipe was closed already")
        try:
            return process.wait(timeout=0.5)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()


class Refused(OcrdError):
    """The worker will not read this document, for a ``reason`` that lasts."""

    def __init__(self, reason: str, message: str, *, error: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.error = error


class ReadApart(OcrdError):
    """Pictures that were asked for together have to be asked for one by one; the worker is well."""


class Transient(OcrdError):
    """The file could not be read just now; trying again later may help."""


def _refusal(message: Message) -> OcrdError:
    kind = {"ModelError": ModelError, "EngineError": EngineError}.get(message["error"], EngineError)
    return kind(message["message"])


def _said(code: int | None) -> str:
    if code is None:
        return "it was being stopped"
    return f"signal {-code}" if code < 0 else f"exit code {code}"
