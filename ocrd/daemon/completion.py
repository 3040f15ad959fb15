"""What comes after a file was read or failed.

The user's hook, then Finder's tag, then a notification.

A thread of its own, so that a slow hook holds up no reading. The journal remembers who is still to
be told: a hook that a stop or a kill came before is run at the next start. It may so be run twice,
but is never left out. The tag comes behind the hook, so that who moves files by their tag (Hazel)
does not take them away from it.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable

import structlog

from ocrd.config import Config
from ocrd.daemon.file_policy import rules_for
from ocrd.daemon.hooks import LAST_WORDS, environment, run_hook
from ocrd.finder.notify import NotificationQueue
from ocrd.finder.tags import make_tagger
from ocrd.journal import Job, Journal

# Seconds to wait when the journal cannot be read or written.
AFTER_TROUBLE = 5.0


class CompletionHooks:
    def __init__(self, config: Config, journal: Journal, *, ended: Callable[[], None]) -> None:
        """``ended`` is called when all are told."""
        self._config = config
        self._journal = journal
        self._ended = ended
        self._notifications = NotificationQueue()
        self._tagger = make_tagger(config.finder)
        self._news = threading.Event()
        self._stop = threading.Event()
        self._idle = threading.Event()
        # Of the two events together: else one could say idle of news that has just come, and for
        # ever.
        self._lock = threading.Lock()
        self._log = structlog.get_logger(component="afterwards")
        self._thread = threading.Thread(target=self._run, name="afterwards", daemon=True)

    def wanted(self, job: Job, read: bool) -> bool:  # noqa: FBT001
        """Whether somebody wants to be told of this job's end."""
        rules = rules_for(self._config, job)
        hook = rules and (rules.on_done if read else rules.on_failed)
        return bool(hook) or self._tagger is not None or self._config.finder.notify

    def tell(self) -> None:
        """There is news in the journal."""
        with self._lock:
            self._idle.clear()
            self._news.set()

    @property
    def idle(self) -> bool:
        return self._idle.is_set()

    def start(self) -> None:
        self._news.set()  # for what the last run left
        self._thread.start()

    def stop(self) -> None:
        """End the hook in hand, show what is to be shown."""
        self._stop.set()
        self._news.set()
        self._thread.join(timeout=2 * LAST_WORDS)
        self._notifications.show(wait_s=LAST_WORDS)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._news.wait(self._notifications.due_in())
            self._news.clear()
            try:
                self._tell_all()
            except sqlite3.Error as error:
                self._log.warning("the journal cannot be used; trying again", error=str(error))
                self._stop.wait(AFTER_TROUBLE)
                self._news.set()

    def _tell_all(self) -> None:
        while not self._stop.is_set() and (job := self._journal.next_untold()):
            self._run_hook(job)
            if self._stop.is_set():
                return  # it may have been cut short: once more at the next start
            if self._tagger:
                self._tagger.tag(job.path, read=job.state == "done")
            if self._config.finder.notify:
                self._notifications.add(job.path.name, read=job.state == "done")
            self._journal.mark_told(job)
        if self._notifications.due_in() == 0.0:
            self._notifications.show()
        with self._lock:
            idle = not self._news.is_set()
            if idle:
                self._idle.set()
        if idle:
            self._ended()

    def _run_hook(self, job: Job) -> None:
        """Never raises: whatever is the matter with one file or one hook, the others are told."""
        rules = rules_for(self._config, job)
        command = (rules.on_done if job.state == "done" else rules.on_failed) if rules else ()
        if not rules or not command:
            return
        outcome = run_hook(
            command,
            environment(job),
            file=job.path,
            seconds=rules.hook_seconds,
            stopping=self._stop.is_set,
        )
        log = self._log.bind(job=job.id, file=str(job.path), hook=command[0])
        if outcome.good:
            log.info("the hook ran", said=outcome.said)
        elif not self._stop.is_set():
            why = outcome.why or f"it ended with {outcome.code}"
            log.warning("the hook failed", why=why, said=outcome.said)
