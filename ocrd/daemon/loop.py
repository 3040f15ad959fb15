"""The daemon: builds its parts from the configuration, runs them, and ends them in time.

Two threads do the work: the main thread polls the inboxes and fills the journal, the other one
takes jobs from it and has them read. Further threads only wait: for wake-ups, for hooks. Each can
be interrupted anywhere: what was running is queued again at the next start.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable

import structlog

from ocrd.backends.base import Backend
from ocrd.backends.local import make_local_backend
from ocrd.config import Config
from ocrd.control.wakeup import WakeupListener
from ocrd.daemon.completion import CompletionHooks
from ocrd.daemon.engine_status import EngineStatusPublisher
from ocrd.daemon.inbox_poller import InboxPoller
from ocrd.daemon.job_loop import JobLoop
from ocrd.daemon.job_runner import JobRunner
from ocrd.daemon.pause import PauseControl
from ocrd.daemon.power import Battery, memory_is_short
from ocrd.daemon.signals import DaemonSignals, stop_all
from ocrd.errors import JournalError
from ocrd.inbox.access import folder_error, folders_in_use
from ocrd.journal import Job, JobState, Journal
from ocrd.status import DaemonStatus, EngineStarting, EngineStopped
from ocrd.system_commands import service_manager

# Seconds to wait for another process that writes to the journal. The end of the daemon waits too.
JOURNAL_BUSY_TIMEOUT_S = 2.0
# Seconds for everything that has to end with the daemon.
END_TIMEOUT_S = 3.0
# With ``--once``, a job whose retry is due later than this is left for the next run.
MAX_RETRY_WAIT_S = 10.0
# With ``--once``, tries to fetch the model when it has to be healed.
MAX_FETCH_TRIES_ONCE = 2


class Daemon:
    """Run it with `run`; end it with `stop` from another thread, never in a signal handler."""

    def __init__(
        self,
        config: Config,
        journal: Journal,
        *,
        once: bool = False,
        clock: Callable[[], float] = time.monotonic,
        make_backend: Callable[..., Backend] = make_local_backend,
        battery: Battery | None = None,
        memory_is_short: Callable[[], bool] = memory_is_short,
    ) -> None:
        """Nothing is started yet.

        Args:
            config: The configuration.
            journal: The journal of the state folder.
            once: End when everything in the inboxes is read, and do not wait for a model for ever.
            clock: Monotonic seconds.
            make_backend: Called as `make_local_backend` is.
            battery: Tells whether the machine runs on its battery.
            memory_is_short: Tells whether memory pressure is critical.
        """
        self._config = config
        self._journal = journal
        self._once = once
        self._signals = DaemonSignals()
        self._log = structlog.get_logger(component="daemon")
        status = EngineStatusPublisher(journal, clock)
        self._backend = make_backend(
            config,
            max_fetch_tries=MAX_FETCH_TRIES_ONCE if once else None,
            on_status=status.publish,
            on_end=self._signals.jobs.set,
        )
        self._inboxes = InboxPoller(config, journal, signals=self._signals, clock=clock)
        self._pause = PauseControl(
            config,
            journal,
            backend=self._backend,
            battery=battery or Battery(),
            memory_is_short=memory_is_short,
            clock=clock,
        )
        self._completion = CompletionHooks(config, journal, on_idle=self._signals.inbox.set)
        self._wakeups = WakeupListener(journal.folder, self._signals.jobs.set)
        self._jobs = self._make_job_loop(status)

    def _make_job_loop(self, status: EngineStatusPublisher) -> JobLoop:
        runner = JobRunner(self._config, self._journal, backend=self._backend, context=self)
        return JobLoop(
            self._config,
            self._journal,
            backend=self._backend,
            runner=runner,
            pause=self._pause,
            status=status,
            signals=self._signals,
            once=self._once,
        )

    def stop(self) -> None:
        """Ask the daemon to end: a running job is queued again."""
        self._signals.end()

    def run(self) -> None:
        """Watch and read until `stop`.

        Raises:
            ModelError: The model is broken and cannot be healed.
            EngineError: The model cannot be loaded.
            ConfigError: An inbox cannot be created.
            JournalError: The journal cannot be used at the start.
        """
        self._inboxes.make_folders()
        requeued = self._journal.jobs.requeue_interrupted()
        if requeued:
            self._log.info("interrupted jobs are queued again", jobs=requeued)
        self._publish_start()
        self._inboxes.start()
        self._signals.busy.set()
        # A daemon thread: hashing a file on a slow disk must not hold up a logout.
        job_thread = threading.Thread(target=self._jobs.run, name="jobs", daemon=True)
        job_thread.start()
        self._completion.start()
        self._wakeups.start()
        try:
            self._inboxes.run(once=self._once, all_done=self._is_all_done)
        finally:
            self._end(job_thread)
        if self._jobs.fatal_error is not None:
            raise self._jobs.fatal_error

    def is_stopping(self) -> bool:
        """See `DaemonContext`."""
        return self._signals.stop.is_set()

    def is_pausing(self) -> bool:
        """See `DaemonContext`."""
        return not self._once and self._pause.reason() is not None

    def request_rescan(self) -> None:
        """See `DaemonContext`."""
        self._inboxes.request_rescan()

    def wants_notification(self, job: Job, state: JobState) -> bool:
        """See `DaemonContext`."""
        return self._completion.wanted_for(job, state)

    def wake_completion(self) -> None:
        """See `DaemonContext`."""
        self._completion.wake()

    def _publish_start(self) -> None:
        status = self._journal.status
        status.publish_daemon(DaemonStatus(os.getpid(), time.time(), service_manager()))
        status.publish_engine(EngineStarting())
        status.publish_pause(None)
        # For `ocrd doctor`: macOS may deny the daemon what it allows a terminal.
        status.publish_folder_errors(
            {folder: folder_error(folder) for _, folder in folders_in_use(self._config)}
        )

    def _end(self, job_thread: threading.Thread) -> None:
        """End all parts at the same time: each may take a second, and launchd allows five."""
        self.stop()
        with contextlib.suppress(JournalError):
            self._journal.shorten_busy_timeout()
        self._backend.stop()
        stops = [
            self._completion.stop,
            self._wakeups.stop,
            self._jobs.release_sleep,
            job_thread.join,
            *self._inboxes.stops(),
        ]
        stop_all(stops, timeout_s=END_TIMEOUT_S)
        with contextlib.suppress(JournalError):  # the lock shows that no daemon runs
            self._journal.status.publish_engine(EngineStopped())
            self._journal.status.publish_daemon(None)

    def _is_all_done(self) -> bool:
        """Whether no file is settling or running, and no retry is due soon."""
        if self._inboxes.is_waiting() or self._signals.busy.is_set() or not self._completion.idle:
            return False
        due_in_s = self._journal.jobs.next_due_in_s()
        return due_in_s is None or due_in_s > MAX_RETRY_WAIT_S
