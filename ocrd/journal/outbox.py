"""Jobs whose hook, tag and notification are still to come; they survive a restart."""

from __future__ import annotations

from ocrd.journal.database import Database
from ocrd.journal.rows import Job, job_from_row


class Outbox:
    """Ended jobs that somebody is to be notified of; every method may raise JournalError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def next_pending(self) -> Job | None:
        """The oldest ended job that is still to be notified of."""
        rows = self._database.run(
            "SELECT * FROM jobs WHERE notified = 0 AND state IN ('done', 'failed')"
            " ORDER BY changed LIMIT 1"
        )
        return job_from_row(rows[0]) if rows else None

    def mark_notified(self, job: Job) -> None:
        """The notifications of this end are out; a job that was queued again will end again."""
        self._database.run(
            "UPDATE jobs SET notified = 1 WHERE id = ? AND changed = ?", job.id, job.changed
        )
