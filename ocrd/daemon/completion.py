"""What follows a job's end: the user's hook, then Finder's tag, then a notification.

On a thread of its own, so that a slow hook does not delay reading. The journal's outbox remembers
what is still to come: a hook that a stop or a kill interrupted runs again at the next start. So it
may run twice, but never not at all. The tag comes after the hook, so that a program that moves
files by their tag (Hazel) does not take the file away from the hook.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from ocrd.config import Config
from ocrd.daemon.file_policy import policy_for
from ocrd.daemon.hooks import TERMINATE_TIMEOUT_S, hook_variables, run_hook
from ocrd.errors import JournalError
from ocrd.finder.notify import NotificationQueue
from ocrd.finder.tags import make_tagger
from ocrd.journal import Job, JobState, Journal

# Seconds to wait when the journal cannot be used.
JOURNAL_RETRY_S = 5.0


class CompletionHooks:
    """Runs hooks, sets tags and shows notifications for the jobs in the outbox."""

    def __init__(self, config: Config, journal: Journal, *, on_idle: Callable[[], None]) -> None:
        """``on_idle`` is called from the thread each time that the outbox is empty."""
        self._config = config
        self._journal = journal
        self._on_idle = on_idle
        self._notifications = NotificationQueue()
        self._tagger = make_tagger(config.finder)
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._idle = threading.Event()
        # Guards the pair of `_wake` and `_idle`: otherwise the thread could report idle for news
        # that has just come.
        self._lock = threading.Lock()
        self._log = structlog.get_logger(component="completion")
        self._thread = threading.Thread(target=self._run, name="completion", daemon=True)

    def wanted_for(self, job: Job, state: JobState) -> bool:
        """Whether anything follows when this job ends in ``state``."""
        if self._tagger is not None or self._config.finder.notify:
            return True
        return bool(self._hook(job, state))

    def wake(self) -> None:
        """There is a new job in the outbox."""
        with self._lock:
            self._idle.clear()
            self._wake.set()

    @property
    def idle(self) -> bool:
        """Whether the outbox is empty."""
        return self._idle.is_set()

    def start(self) -> None:
        """Start the thread, beginning with what the last run left."""
        self._wake.set()
        self._thread.start()

    def stop(self) -> None:
        """End a running hook and show the pending notifications."""
        self._stop.set()
        self._wake.set()
        self._thread.join(timeout=2 * TERMINATE_TIMEOUT_S)
        self._notifications.show(wait_s=TERMINATE_TIMEOUT_S)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.wait(self._notifications.due_in())
            self._wake.clear()
            try:
                self._empty_outbox()
            except JournalError as error:
                self._log.warning("the journal cannot be used; retrying", error=str(error))
                self._stop.wait(JOURNAL_RETRY_S)
                self._wake.set()

    def _empty_outbox(self) -> None:
        while not self._stop.is_set():
            job = self._journal.outbox.next_pending()
            if job is None:
                break
            self._run_hook(job)
            if self._stop.is_set():
                return  # the hook may have been interrupted: it runs again at the next start
            read = job.state == JobState.DONE
            if self._tagger is not None:
                self._tagger.tag(job.path, read=read)
            if self._config.finder.notify:
                self._notifications.add(job.path.name, read=read)
            self._journal.outbox.mark_notified(job)
        if self._notifications.due_in() == 0.0:
            self._notifications.show()
        with self._lock:
            idle = not self._wake.is_set()
            if idle:
                self._idle.set()
        if idle:
            self._on_idle()

    def _hook(self, job: Job, state: JobState) -> tuple[str, ...]:
        policy = policy_for(self._config, job)
        if policy is None:
            return ()
        return policy.on_done if state == JobState.DONE else policy.on_failed

    def _run_hook(self, job: Job) -> None:
        """Never raises: the problem of one file or hook must not affect the others."""
        policy = policy_for(self._config, job)
        command = self._hook(job, job.state)
        if policy is None or not command:
            return
        result = run_hook(
            command,
            job.path,
            variables=hook_variables(job),
            timeout_s=policy.hook_seconds,
            stopping=self._stop.is_set,
        )
        log = self._log.bind(job=job.id, file=str(job.path), hook=command[0])
        if result.succeeded:
            log.info("the hook ran", output=result.output)
        elif not self._stop.is_set():
            reason = result.error or f"it ended with exit code {result.exit_code}"
            log.warning("the hook failed", reason=reason, output=result.output)
