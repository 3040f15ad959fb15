"""The loop that wires inbox, journal, worker and sidecars.

Two threads: one looks at the inboxes and fills the journal, the other takes jobs from it and has them
read. Either can be interrupted anywhere; what was running is queued again at the next start.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

import structlog

from ocrd import paths, sidecar
from ocrd.config import Config, InboxConfig, model_dir
from ocrd.documents.kinds import SUFFIXES
from ocrd.errors import EngineError, ModelError, OcrdError, ServiceError
from ocrd.inbox.inbox import Inbox
from ocrd.inbox.look import look
from ocrd.journal import Job, Journal, reading_from
from ocrd.types import Settled
from ocrd.worker.parent import Refused, Transient, Worker, WorkerDied
from ocrd.worker.protocol import Request, Setup

CRASHES_ALLOWED = 2
"""A file that kills this many workers is failed, and the rest go on."""
MAYBE_UNFINISHED = frozenset({"damaged", "empty", "unsupported"})
STILL_WRITING = 6.0
"""Seconds since the last write within which a broken file may be an unfinished one (scanners pause up to 4 s)."""
HEARTBEAT = 60.0
BACK_OFF = (5.0, 30.0, 120.0, 600.0)
"""Seconds before a job that failed for a passing reason is tried again."""


class Daemon:
    """Run with `run`; end it from a signal handler or another thread with `stop`."""

    def __init__(
        self, config: Config, state: Path, journal: Journal, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._config = config
        self._state = state
        self._clock = clock
        self._log = structlog.get_logger(component="daemon")
        self._stop = threading.Event()
        self._wake = threading.Event()
        """Something may have changed in an inbox."""
        self._work = threading.Event()
        """Something may be queued."""
        self._busy = threading.Event()
        self.fatal: OcrdError | None = None
        self.journal = journal
        self.worker = Worker(worker_setup(config), config.engine.load_deadline, self._on_loading)
        self._inboxes = [self._make_inbox(inbox) for inbox in config.inbox]

    def _make_inbox(self, inbox: InboxConfig) -> Inbox:
        return Inbox(inbox.path, SUFFIXES, inbox.settle, inbox.recursive, self.journal.knows, self._wake)

    def stop(self) -> None:
        """Ask the daemon to end: the job in hand goes back to the journal."""
        self._stop.set()
        self._wake.set()
        self._work.set()

    def run(self, once: bool = False) -> None:
        """Watch and read until `stop`; with ``once`` until all that lies in the inboxes now is read.

        Raises ModelError when there is no model to load, EngineError when no device can run it.
        """
        if back := self.journal.requeue_interrupted():
            self._log.info("interrupted jobs are queued again", jobs=back)
        self.journal.set_fact("daemon", {"pid": os.getpid(), "since": time.time()})
        self.journal.set_fact("engine", {"state": "loading", "done": 0.0})
        for inbox in self._config.inbox:
            inbox.path.mkdir(parents=True, exist_ok=True)
        for watched in self._inboxes:
            watched.start()
        self._busy.set()  # with loading the model: `--once` with a broken one must not end as if all were well
        reader = threading.Thread(target=self._read_jobs, name="reader")
        reader.start()
        try:
            self._look_at_inboxes(once)
        finally:
            self.stop()
            self.worker.stop()
            reader.join(timeout=10)
            for watched in self._inboxes:
                watched.stop()
            self.journal.set_fact("engine", {"state": "stopped"})
            self.journal.set_fact("daemon", None)
        if self.fatal is not None:
            raise self.fatal

    def _look_at_inboxes(self, once: bool) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            now = self._clock()
            for inbox, config in zip(self._inboxes, self._config.inbox, strict=True):
                for settled in inbox.poll(now):
                    self._queue(settled, config)
            if once and self._all_done():
                return
            pause = min([HEARTBEAT, *(inbox.next_poll_in(self._clock()) for inbox in self._inboxes)])
            self._wake.wait(min(pause, 0.2) if once else pause)

    def _all_done(self) -> bool:
        """Nothing settles, waits or is being read."""
        settling = any(inbox.waiting() for inbox in self._inboxes)
        return not settling and not self._busy.is_set() and self.journal.next_due_in() is None

    def _queue(self, settled: Settled, inbox: InboxConfig) -> None:
        job = self.journal.add(settled.path, inbox.path, settled.fingerprint)
        if job is not None:
            self._log.info("queued", job=job, file=str(settled.path), bytes=settled.fingerprint.size)
            self._work.set()

    def _on_loading(self, done: float) -> None:
        self.journal.set_fact("engine", {"state": "loading", "done": done})

    def _read_jobs(self) -> None:
        try:
            self._warm_up()
            while not self._stop.is_set():
                self._work.clear()
                # Set before taking: `--once` must never see an empty queue and an idle reader in between.
                self._busy.set()
                job = self.journal.take()
                if job is None:
                    self._busy.clear()
                    self._wake.set()
                    due = self.journal.next_due_in()
                    self._work.wait(HEARTBEAT if due is None else min(due, HEARTBEAT))
                    continue
                with structlog.contextvars.bound_contextvars(job=job.id):
                    self._read_job(job)
        except OcrdError as error:
            self.fatal = error
            self._log.error("reading stops", error=str(error))
            self.stop()

    def _warm_up(self) -> None:
        try:
            ready = self.worker.start()
        except WorkerDied as error:
            if self._stop.is_set():
                return
            raise EngineError(f"the model could not be loaded: {error}; see the log") from error
        self.journal.set_fact("engine", {"state": "ready", "since": time.time(), "pid": self.worker.pid, **vars(ready)})

    def _read_job(self, job: Job) -> None:
        try:
            self._read_and_write(job)
        except WorkerDied as error:
            self._after_death(job, error)
        except FileNotFoundError:
            self._log.info("the file is gone before it was read", file=str(job.path))
            self.journal.drop(job.id)
        except (Transient, OSError) as error:
            wait = BACK_OFF[min(job.attempts - 1, len(BACK_OFF) - 1)]
            if isinstance(error, Transient) and not os.path.lexists(job.path):
                self.journal.drop(job.id)
                return
            self._log.warning("trying again later", file=str(job.path), seconds=wait, error=str(error))
            self.journal.hand_back(job.id, wait, str(error))
        except Refused as error:
            self._after_refusal(job, error)

    def _after_refusal(self, job: Job, error: Refused) -> None:
        if not self._unchanged(job):
            return
        age = time.time() - job.fingerprint.mtime_ns / 1e9
        if error.reason in MAYBE_UNFINISHED and job.attempts == 1 and 0 <= age < STILL_WRITING:
            # Scanners pause for seconds in the middle of a file: what looks broken now may be whole soon.
            self._log.info("looks unfinished; looking again", file=str(job.path), reason=error.reason)
            self.journal.hand_back(job.id, STILL_WRITING, str(error))
            return
        self._log.error("failed", file=str(job.path), reason=error.reason, error=str(error))
        self.journal.fail(job.id, error.reason, str(error))

    def _unchanged(self, job: Job) -> bool:
        """Whether the file is still the one that settled; else its job is dropped, for the new one gets its own."""
        if look(job.path).fingerprint == job.fingerprint:
            return True
        self._log.info("the file changed while it was read; it is read again when it has settled", file=str(job.path))
        self.journal.drop(job.id)
        for inbox in self._inboxes:
            inbox.request_rescan()
        return False

    def _after_death(self, job: Job, error: WorkerDied) -> None:
        if self._stop.is_set():
            self.journal.hand_back(job.id)
            return
        if job.crashes + 1 >= CRASHES_ALLOWED:
            message = f"{job.path.name}: reading it ended {CRASHES_ALLOWED} workers ({error}); it is left unread"
            self._log.error("failed", file=str(job.path), reason="crash", error=message)
            self.journal.fail(job.id, "crash", message)
        else:
            self._log.warning("the worker died; its job runs again in a new one", file=str(job.path), error=str(error))
            self.journal.hand_back(job.id, message=str(error), crashed=True)
        self._warm_up()

    def _read_and_write(self, job: Job) -> None:
        inbox = self._inbox_of(job)
        if not self._unchanged(job):
            return
        first = sidecar.destination(job.path, inbox.name, inbox.path, inbox.output)
        source = sidecar.Source(job.path.name, job.fingerprint.size, sidecar.hash_file(job.path))
        if sidecar.complete_set(first, source.sha256, inbox.formats):
            self._log.info("its sidecars are there already", file=str(job.path))
            self.journal.finish(job.id)
            return
        started = self._clock()
        pages = self.journal.pages(job.id)
        for message in self.worker.read(read_request(self._config, job.id, job.path, inbox.task, len(pages))):
            if message["event"] == "page":
                self.journal.keep_page(job.id, reading_from(message["reading"]))
        if not self._unchanged(job):
            return
        pages = self.journal.pages(job.id)
        contents = sidecar.render(source, provenance(self._config, self.worker), inbox.task, pages, inbox.formats)
        self._write(job, first, contents)
        self.journal.finish(job.id)
        self._log.info("done", file=str(job.path), pages=len(pages), seconds=round(self._clock() - started, 2))

    def _write(self, job: Job, first: sidecar.Destination, contents: dict[str, bytes]) -> None:
        earlier = sidecar.untouched(first, job.path.name)

        def ours(path: Path) -> bool:
            planned = job.outputs.get(os.fsencode(path).hex())
            half_written = planned is not None and path.is_file() and sidecar.hash_file(path) == planned
            return half_written or earlier(path)

        where = sidecar.choose_destination(first, tuple(contents), ours)
        planned = {os.fsencode(where.path(f)).hex(): sidecar.hash_bytes(data) for f, data in contents.items()}
        self.journal.plan_outputs(job.id, planned)
        sidecar.write_set(where, contents, ours)

    def _inbox_of(self, job: Job) -> InboxConfig:
        for inbox in self._config.inbox:
            if inbox.path == job.inbox:
                return inbox
        raise Refused("no-inbox", f"{job.path}: its inbox {job.inbox} is no longer configured", "ConfigError")


def worker_setup(config: Config) -> Setup:
    """What the worker loads. Raises ModelError when the model's folder is not there."""
    folder = model_dir(config.model)
    if not folder.is_dir():
        raise ModelError(
            f'{folder}: there is no model; set model.path to a folder that holds one, or to "pocket" for a try'
        )
    engine = config.engine
    return Setup(str(folder), engine.device, engine.dtype, engine.mode, config.log.level)


def read_request(config: Config, job: str, path: Path, task: str, start: int = 0) -> Request:
    return Request(
        job=job,
        path=str(path),
        task=task,
        start=start,
        max_new_tokens=config.engine.max_new_tokens,
        page_deadline=config.engine.page_deadline,
        dpi=config.documents.dpi,
        max_bytes=config.documents.max_megabytes * 1024 * 1024,
        max_pixels=config.documents.max_megapixels * 1_000_000,
    )


def provenance(config: Config, worker: Worker) -> sidecar.Provenance:
    """What stands in the sidecar about model and engine."""
    ready = worker.start()
    pocket = config.model.path == "pocket"
    managed = config.model.path is None
    return sidecar.Provenance(
        model={
            "repo": "ocrd/pocket" if pocket else config.model.repo if managed else Path(str(config.model.path)).name,
            "revision": config.model.revision if managed else None,
        },
        engine={"backend": "torch", **asdict(ready)},
    )


@contextmanager
def sole_daemon(state: Path) -> Iterator[None]:
    """Hold the state folder's lock. Raises ServiceError when another daemon has it."""
    lock = paths.private_folder(state) / "daemon.lock"
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ServiceError(f"another ocrd is running on {state}; stop it first") from error
        yield


def is_running(state: Path) -> bool:
    """Whether a daemon holds the lock of this state folder."""
    lock = state / "daemon.lock"
    if not lock.exists():
        return False
    with suppress(OSError), lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
