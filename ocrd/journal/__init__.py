"""The journal: every file that was dropped or submitted, what became of it, and each page read.

A job goes queued -> running -> done | failed. A job that is `running` when a daemon starts was
interrupted: it is queued again and continues at its next page. SQLite stays inside this package;
every error is a `JournalError`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from ocrd.files import is_locked
from ocrd.journal.database import Database
from ocrd.journal.history import JobHistory
from ocrd.journal.jobs import JobQueue
from ocrd.journal.outbox import Outbox
from ocrd.journal.outputs import OutputRecord
from ocrd.journal.pages import PageStore
from ocrd.journal.rows import Job, JobState
from ocrd.journal.schema import FILE_NAME
from ocrd.journal.status import StatusBoard

__all__ = ["FILE_NAME", "LOCK_FILE_NAME", "Job", "JobState", "Journal"]

# The lock that a running daemon holds, in the same folder.
LOCK_FILE_NAME = "daemon.lock"


class Journal:
    """One journal, shared by the daemon's threads and by other processes.

    Attributes:
        folder: The state folder.
        jobs: The queue.
        history: What became of the jobs.
        pages: The pages of unfinished documents.
        outputs: Which sidecars are ours.
        outbox: Ended jobs that hooks, tags and notifications are to follow.
        status: What the daemon publishes.
    """

    def __init__(
        self,
        folder: Path,
        *,
        clock: Callable[[], float] = time.time,
        busy_timeout_s: float = 10.0,
        in_use: Callable[[], bool] | None = None,
    ) -> None:
        """Open the journal in ``folder``; create it when it is missing.

        Args:
            folder: The state folder.
            clock: Seconds since 1970.
            busy_timeout_s: Seconds to wait while another process writes.
            in_use: Whether a daemon uses it. An older journal in use is not converted. The daemon
                itself, which holds its own lock, passes a function that returns False.

        Raises:
            OutdatedJournalError: A daemon of an older ocrd uses it.
            JournalError: It cannot be used.
        """
        self.folder = folder
        self._database = Database(
            folder, busy_timeout_s, in_use=in_use or partial(is_locked, folder / LOCK_FILE_NAME)
        )
        self.jobs = JobQueue(self._database, clock)
        self.history = JobHistory(self._database)
        self.pages = PageStore(self._database)
        self.outputs = OutputRecord(self._database)
        self.outbox = Outbox(self._database)
        self.status = StatusBoard(self._database)

    def close(self) -> None:
        """Close the connection."""
        self._database.close()

    def shorten_busy_timeout(self) -> None:
        """Wait hardly for other processes from now on: the daemon is ending."""
        self._database.shorten_busy_timeout()
