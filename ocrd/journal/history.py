"""What has become of the jobs: for ``ocrd status``, ``ocrd jobs`` and ``ocrd submit --wait``."""

from __future__ import annotations

from pathlib import Path

from ocrd.journal.database import Database
from ocrd.journal.rows import Job, JobState, fingerprint_values, job_from_row, name_key


class JobHistory:
    """Reads the jobs and changes none; every method may raise JournalError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def job(self, job: str) -> Job | None:
        """The job of this id; None when there is none, or when its file is gone."""
        rows = self._database.run("SELECT * FROM jobs WHERE id = ?", job)
        return job_from_row(rows[0]) if rows else None

    def latest(self, path: Path, since: float) -> Job | None:
        """The newest job of this path that was queued at ``since`` or later."""
        rows = self._database.run(
            "SELECT * FROM jobs WHERE name_key = ? AND created >= ? ORDER BY created DESC LIMIT 1",
            name_key(path),
            since,
        )
        return job_from_row(rows[0]) if rows else None

    def was_done_before(self, job: Job) -> bool:
        """Whether another job of the same file is done.

        After a restart a disk may have another device number.
        """
        _, _, size, mtime_ns = fingerprint_values(job.fingerprint)
        rows = self._database.run(
            "SELECT 1 FROM jobs"
            " WHERE name_key = ? AND size = ? AND mtime_ns = ? AND id <> ? AND state = 'done'",
            name_key(job.path),
            size,
            mtime_ns,
            job.id,
        )
        return bool(rows)

    def counts(self) -> dict[str, int]:
        """The number of jobs in each state."""
        rows = self._database.run("SELECT state, COUNT(*) AS n FROM jobs GROUP BY state")
        counted = {row["state"]: row["n"] for row in rows}
        return {state.value: counted.get(state, 0) for state in JobState}

    def failed_since(self, when: float) -> int:
        """How many files failed at ``when`` (seconds since 1970) or later."""
        rows = self._database.run(
            "SELECT COUNT(*) AS n FROM jobs WHERE state = 'failed' AND changed >= ?", when
        )
        return int(rows[0]["n"])

    def recent(self, state: str | None = None, limit: int = 50) -> list[Job]:
        """The jobs of one state, or of all, that changed last; newest first."""
        condition = "WHERE state = ?" if state else ""
        values = (state,) if state else ()
        rows = self._database.run(
            f"SELECT * FROM jobs {condition} ORDER BY changed DESC LIMIT ?", *values, limit
        )
        return [job_from_row(row) for row in rows]

    def failures(self, limit: int = 10) -> list[Job]:
        """The latest failures, newest first."""
        return self.recent(JobState.FAILED, limit)

    def waiting_for_retry(self, limit: int = 10) -> list[Job]:
        """Jobs that were tried and will be retried, with the reason as message; soonest first."""
        rows = self._database.run(
            "SELECT * FROM jobs WHERE state = 'queued' AND message IS NOT NULL"
            " ORDER BY not_before LIMIT ?",
            limit,
        )
        return [job_from_row(row) for row in rows]
