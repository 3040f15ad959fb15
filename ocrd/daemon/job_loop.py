"""Takes jobs from the journal, one after another, and keeps a backend ready for them."""

from __future__ import annotations

import math

import structlog

from ocrd.backends.base import Backend
from ocrd.config import Config
from ocrd.daemon.engine_status import EngineStatusPublisher
from ocrd.daemon.job_runner import JobRunner
from ocrd.daemon.pause import PauseControl
from ocrd.daemon.power import KeepAwake
from ocrd.daemon.signals import HEARTBEAT_S, RETRY_DELAY_S, DaemonSignals
from ocrd.errors import BackendCrashed, EngineError, JournalError, OcrdError
from ocrd.journal import Journal
from ocrd.status import EngineStarting

# Workers in a row that may die while they load, before the model counts as unusable.
MAX_LOAD_CRASHES = 3


class JobLoop:
    """Belongs to a thread of its own, which calls `run`."""

    def __init__(
        self,
        config: Config,
        journal: Journal,
        *,
        backend: Backend,
        runner: JobRunner,
        pause: PauseControl,
        status: EngineStatusPublisher,
        signals: DaemonSignals,
        once: bool,
    ) -> None:
        self._config = config
        self._journal = journal
        self._backend = backend
        self._runner = runner
        self._pause = pause
        self._status = status
        self._signals = signals
        self._once = once
        self._keep_awake = KeepAwake(wanted=config.power.keep_awake)
        # Why the daemon must end; None while it need not.
        self.fatal_error: OcrdError | None = None
        self._log = structlog.get_logger(component="daemon")

    def run(self) -> None:
        """Run jobs until the daemon ends; a fatal error ends the daemon."""
        while not self._signals.stop.is_set():
            try:
                self._signals.jobs.clear()
                if self._signals.stop.is_set():  # set before the clear, which removed its signal
                    return
                # With ``--once`` somebody waits for just this run: no pause.
                pause_s = None if self._once else self._pause.pause_s()
                if pause_s is not None:
                    self._rest(pause_s)
                else:
                    self._make_ready()
                    self._take_job()
            except JournalError as error:
                self._recover(error)
            except OcrdError as error:
                self.fatal_error = error
                self._log.error("no file can be read; ending", error=str(error))
                self._signals.end()
            except Exception as error:
                # The thread must not end: nothing would be read any more.
                self._recover(error)

    def release_sleep(self) -> None:
        """Let the machine sleep."""
        self._keep_awake.release()

    def _recover(self, error: Exception) -> None:
        self._log.error("reading is interrupted; continuing", exc_info=error)
        self._signals.stop.wait(RETRY_DELAY_S)
        try:
            # This thread runs no job now, whatever the journal says.
            self._journal.jobs.requeue_interrupted()
        except JournalError as journal_error:
            self._log.warning("the journal cannot be written", error=str(journal_error))

    def _rest(self, seconds: float) -> None:
        """Wait for a signal, or for ``seconds``."""
        self._keep_awake.release()
        self._signals.busy.clear()
        self._signals.inbox.set()
        self._signals.jobs.wait(min(seconds, HEARTBEAT_S))

    def _take_job(self) -> None:
        # Set before taking: ``--once`` must never see an empty queue and an idle thread between.
        self._signals.busy.set()
        job = self._journal.jobs.take()
        if job is None:
            self._rest_without_work()
            return
        self._pause.note_work()
        self._keep_awake.hold()
        companions = self._runner.companions(job)
        if companions:
            self._runner.run_together([job, *companions])
        else:
            with structlog.contextvars.bound_contextvars(job=job.id):
                self._runner.run(job)

    def _rest_without_work(self) -> None:
        if not self._once and self._pause.unload_if_idle():
            return
        due_in_s = self._journal.jobs.next_due_in_s()
        unload_after_s = self._config.engine.unload_after or math.inf
        self._rest(min(HEARTBEAT_S if due_in_s is None else due_in_s, unload_after_s))

    def _make_ready(self) -> None:
        """Start the backend unless it is ready.

        Raises:
            EngineError: It dies again and again while it loads.
            ModelError: The model is broken and cannot be healed.
        """
        if self._backend.ready:
            return
        self._journal.status.publish_engine(EngineStarting())
        crashes = 0
        while not self._signals.stop.is_set():
            self._status.expect_start()
            try:
                # A worker that died may have met a damaged file: then every byte is hashed.
                self._backend.start(verify_fully=crashes > 0)
            except BackendCrashed as error:
                # A download that makes progress is no reason to give up.
                crashes = 1 if self._status.downloaded else crashes + 1
                if crashes >= MAX_LOAD_CRASHES and not self._signals.stop.is_set():
                    raise EngineError(
                        f"the model could not be loaded: {error}; see the log"
                    ) from error
                self._log.warning("loading the model failed; retrying", error=str(error))
            else:
                return
