"""The loop that wires inboxes, journal and reader.

Two threads do the work: one looks at the inboxes and fills the journal, the other takes jobs from
it and has them read. Others only wait: for a ring, for hooks to end. All can be interrupted
anywhere; what was running is queued again at the next start.
"""

from __future__ import annotations

import contextlib
import math
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from ocrd.config import Config, InboxConfig
from ocrd.control.wakeup import WakeupListener
from ocrd.daemon.completion import CompletionHooks
from ocrd.daemon.job_runner import JobRunner
from ocrd.daemon.pause import Pauses
from ocrd.daemon.power import Battery, KeepAwake, SleepWatch, memory_is_short
from ocrd.documents.kinds import SUFFIXES
from ocrd.errors import ConfigError, EngineError, OcrdError
from ocrd.inbox.access import folder_error, folders_in_use
from ocrd.inbox.inbox import Inbox
from ocrd.journal import Journal
from ocrd.log import truncate_stderr
from ocrd.system_commands import service_manager
from ocrd.types import StableFile
from ocrd.worker.from_config import memory_limits, worker_setup
from ocrd.worker.messages import Message
from ocrd.worker.process import Worker, WorkerDied

HEARTBEAT = 60.0
# Seconds between two lines of the log about a long healing.
SILENCE = 30.0
# Seconds to wait for another process that writes into the journal, before going on without: what
# ends us waits too.
JOURNAL_PATIENCE = 2.0
# Seconds for everything that has to end with us.
ENDING = 3.0
# With ``--once``, a job that waits longer than this for another try is left for the next run.
LATER = 10.0
# Seconds to wait when the journal itself cannot be written (disk full), before going on.
AFTER_TROUBLE = 5.0
# With ``--once``, tries to reach the hub when the model has to be healed.
TRIES_ONCE = 2
# Workers in a row that may die while loading, before the model is given up.
LOADS_ALLOWED = 3


class Daemon:
    """Run with `run`; end it with `stop` from another thread, never in a signal handler.

    It takes locks.
    """

    def __init__(
        self,
        config: Config,
        journal: Journal,
        *,
        once: bool = False,
        clock: Callable[[], float] = time.monotonic,
        worker_module: str = "ocrd.worker.child",
        battery: Battery | None = None,
        memory_short: Callable[[], bool] = memory_is_short,
    ) -> None:
        """With ``once`` it ends when all that lies in the inboxes is read, and does not wait for
        a model for ever.
        """
        self._config = config
        self._once = once
        self._clock = clock
        self._journal = journal
        self._log = structlog.get_logger(component="daemon")
        self._stop = threading.Event()
        # Something may have changed in an inbox.
        self._wake = threading.Event()
        # Something may be queued.
        self._work = threading.Event()
        # The model is loading or a job is in hand.
        self._busy = threading.Event()
        self._fatal: OcrdError | None = None
        # The worker that is starting has brought a piece of the model.
        self._fetched = False
        # When the log last said how the healing goes.
        self._told = -math.inf
        self._awake = KeepAwake(wanted=config.power.keep_awake)
        self._sleep = SleepWatch()
        setup = worker_setup(config, tries=TRIES_ONCE if once else None)
        self._worker = Worker(
            setup,
            config.engine.load_deadline,
            on_preparing=self._on_preparing,
            on_end=self._work.set,
            memory_limits=memory_limits(config),
            module=worker_module,
        )
        self._inboxes = [
            (
                Inbox(
                    inbox.path,
                    SUFFIXES,
                    settle_s=inbox.settle,
                    recursive=inbox.recursive,
                    is_known=journal.knows,
                    wake=self._wake,
                ),
                inbox,
            )
            for inbox in config.inbox
        ]
        self._pauses = Pauses(
            config,
            journal,
            worker=self._worker,
            battery=battery or Battery(),
            memory_short=memory_short,
            clock=clock,
        )
        self._afterwards = CompletionHooks(config, journal, ended=self._wake.set)
        self._doorbell = WakeupListener(journal.folder, self._work.set)
        self._reader = JobRunner(
            config,
            journal,
            worker=self._worker,
            stopping=self._stop.is_set,
            look_again=self._rescan,
            pausing=lambda: not once and self._pauses.reason() is not None,
            wanted=self._afterwards.wanted,
            tell=self._afterwards.tell,
        )

    def stop(self) -> None:
        """Ask the daemon to end: the job in hand goes back to the journal."""
        self._stop.set()
        self._wake.set()
        self._work.set()

    def run(self) -> None:
        """Watch and read until `stop`.

        Raises ModelError when the model is broken and cannot be healed, EngineError when it cannot
        be loaded, ConfigError when an inbox cannot be made.
        """
        for _, settings in self._inboxes:
            _make_inbox(settings.path)
        if back := self._journal.requeue_interrupted():
            self._log.info("interrupted jobs are queued again", jobs=back)
        self._journal.set_fact(
            "daemon", {"pid": os.getpid(), "since": time.time(), "by": service_manager()}
        )
        self._journal.set_fact("engine", {"state": "starting"})
        self._journal.set_fact("paused", None)
        # For `ocrd doctor` to compare: macOS may refuse the daemon what it allows a terminal.
        self._journal.set_fact(
            "folders",
            {str(folder): folder_error(folder) for _, folder in folders_in_use(self._config)},
        )
        for inbox, _ in self._inboxes:
            inbox.start()
        self._busy.set()
        # A thread that is still hashing a file from a slow disk must not hold up a logout.
        reading = threading.Thread(target=self._read_jobs, name="reader", daemon=True)
        reading.start()
        self._afterwards.start()
        self._doorbell.start()
        try:
            self._look_at_inboxes()
        finally:
            self.stop()
            self._journal.hurry()
            self._end(reading)
            with contextlib.suppress(sqlite3.Error):  # who asks sees by the lock that nobody runs
                self._journal.set_fact("engine", {"state": "stopped"})
                self._journal.set_fact("daemon", None)
        if self._fatal is not None:
            raise self._fatal

    def _end(self, reading: threading.Thread) -> None:
        """All at once, for each may take a second or two, and launchd may allow us five."""
        self._worker.stop()
        ends = [
            self._afterwards.stop,
            self._doorbell.stop,
            self._awake.release,
            lambda: reading.join(ENDING),
        ]
        ends += [inbox.stop for inbox, _ in self._inboxes]
        threads = [threading.Thread(target=end, daemon=True) for end in ends]
        for thread in threads:
            thread.start()
        deadline = self._clock() + ENDING
        for thread in threads:
            thread.join(max(0.0, deadline - self._clock()))

    def _look_at_inboxes(self) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            if self._stop.is_set():  # it may have come before the clear, which swallowed its signal
                return
            truncate_stderr()
            if away := self._sleep.slept():
                self._log.info(
                    "the machine was asleep; looking at all inboxes", seconds=round(away)
                )
                self._rescan()
            for inbox, settings in self._inboxes:
                self._look_at(inbox, settings)
            if self._once and self._all_done():
                return
            pause = min(
                [HEARTBEAT, *(inbox.next_poll_in_s(self._clock()) for inbox, _ in self._inboxes)]
            )
            self._wake.wait(min(pause, 0.2) if self._once else pause)

    def _look_at(self, inbox: Inbox, settings: InboxConfig) -> None:
        try:
            for settled in inbox.poll(self._clock()):
                self._queue(settled, settings)
        except (OSError, sqlite3.Error):
            # The journal's disk is full, say. What was not queued is found again by the walk.
            self._log.exception(
                "an inbox could not be looked at; trying again", inbox=str(settings.path)
            )
            inbox.forget_taken()
            self._stop.wait(AFTER_TROUBLE)

    def _queue(self, settled: StableFile, inbox: InboxConfig) -> None:
        job = self._journal.add(settled.path, inbox.path, fingerprint=settled.fingerprint)
        if job is not None:
            self._log.info(
                "queued", job=job, file=str(settled.path), bytes=settled.fingerprint.size
            )
            self._work.set()

    def _all_done(self) -> bool:
        """Nothing settles, is being read, or waits for a try that is near."""
        # What is still in iCloud may come tomorrow: one run does not wait for that.
        settling = any(
            f.required_quiet_s < math.inf for inbox, _ in self._inboxes for f in inbox.pending()
        )
        if settling or self._busy.is_set() or not self._afterwards.idle:
            return False
        due = self._journal.next_due_in()
        return due is None or due > LATER

    def _rescan(self) -> None:
        for inbox, _ in self._inboxes:
            inbox.request_rescan()

    def _on_preparing(self, message: Message) -> None:
        """What the worker does until it is ready, for ``ocrd status``."""
        said = {key: value for key, value in message.items() if key != "event"}
        self._fetched = self._fetched or (said.get("phase") == "fetching" and said["done"] > 0)
        try:
            self._journal.set_fact(
                "engine", {"state": message["event"], "since": time.time(), **said}
            )
        except sqlite3.Error as error:  # a full disk must not end a healing
            self._log.warning("the journal cannot be written", error=str(error))
        if said.get("state") == "healing" and self._clock() - self._told > SILENCE:
            self._told = self._clock()
            self._log.info("healing the model", **said)

    def _read_jobs(self) -> None:
        while not self._stop.is_set():
            try:
                self._work.clear()
                if (
                    self._stop.is_set()
                ):  # asked again behind the clear, which may have swallowed stop's signal
                    return
                # With `--once` somebody waits for just this run.
                if not self._once and (wait := self._pauses.holds()) is not None:
                    self._rest(wait)
                else:
                    self._warm_up()
                    self._take_one()
            except OcrdError as error:
                self._fatal = error
                self._log.error("reading stops", error=str(error))
                self.stop()
            except Exception:
                # The journal cannot be written, say. A thread that dies here would read nothing
                # ever after.
                self._log.exception("reading is interrupted; going on")
                self._stop.wait(AFTER_TROUBLE)
                self._hand_back_all()

    def _hand_back_all(self) -> None:
        """This thread has no job in hand any more, whatever the journal still says."""
        try:
            self._journal.requeue_interrupted()
        except sqlite3.Error as error:
            self._log.warning("the journal cannot be written", error=str(error))

    def _rest(self, seconds: float) -> None:
        """Nothing is in hand: wait for something, or for ``seconds``."""
        self._awake.release()
        self._busy.clear()
        self._wake.set()
        self._work.wait(min(seconds, HEARTBEAT))

    def _take_one(self) -> None:
        # Set before taking: `--once` must never see an empty queue and an idle reader in between.
        self._busy.set()
        job = self._journal.take()
        if job is not None:
            self._pauses.working()
            self._awake.hold()
            if others := self._reader.companions(job):
                self._reader.handle_together([job, *others])
                return
            with structlog.contextvars.bound_contextvars(job=job.id):
                self._reader.handle(job)
            return
        if self._once or not self._pauses.unload_if_idle():
            due = self._journal.next_due_in()
            self._rest(
                min(HEARTBEAT if due is None else due, self._config.engine.unload_after or math.inf)
            )

    def _warm_up(self) -> None:
        """See that a worker with its model stands ready; at once when one does."""
        if self._worker.warm:
            return
        self._journal.set_fact("engine", {"state": "starting"})
        deaths = 0
        while not self._stop.is_set():
            self._fetched = False
            try:
                # One that died over it may have met a damaged file: then every byte is looked at.
                self._worker.start(distrust=deaths > 0)
            except WorkerDied as error:
                # A download that goes on piece by piece is no reason to give up.
                deaths = 1 if self._fetched else deaths + 1
                if deaths >= LOADS_ALLOWED and not self._stop.is_set():
                    raise EngineError(
                        f"the model could not be made ready: {error}; see the log"
                    ) from error
                self._log.warning("making the model ready failed; trying again", error=str(error))
            else:
                return


def _make_inbox(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{path}: the inbox cannot be made ({error.strerror}); mend inbox.path"
        ) from error
