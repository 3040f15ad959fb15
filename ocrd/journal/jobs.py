"""The queue of jobs: which file is read next, and what happens to each job."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

from ocrd.errors import RefusalReason
from ocrd.journal.database import Database
from ocrd.journal.rows import (
    Job,
    as_utf8,
    fingerprint_values,
    job_from_row,
    name_key,
    paths_to_json,
)
from ocrd.journal.schema import SUBMITTED
from ocrd.types import Fingerprint

_SAME_FILE = "name_key = ? AND device = ? AND inode = ? AND size = ? AND mtime_ns = ?"
_AS_NEW = (
    "state = 'queued', attempts = 0, crashes = 0, not_before = 0, reason = NULL, message = NULL,"
    " notified = 1, sidecars = '[]'"
)


class JobQueue:
    """The jobs of one journal; every method is one transaction and may raise JournalError."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    def add(self, path: Path, inbox: Path, *, fingerprint: Fingerprint) -> str | None:
        """Queue a stable file; returns its job, or None when exactly this file is known."""
        with self._database.transaction():
            job = self._insert(path, str(inbox), fingerprint=fingerprint)
            if job is not None:
                self._forget_failures(path)
            return job

    def submit(self, path: Path, fingerprint: Fingerprint) -> str:
        """Queue a file where it is; returns its job.

        A job of the same file that is done or failed is queued again.
        """
        same = (name_key(path), *fingerprint_values(fingerprint))
        with self._database.transaction():
            if self._insert(path, SUBMITTED, fingerprint=fingerprint) is None:
                now = self._clock()
                # The inbox that it was dropped into before may not be configured any more.
                self._database.run(
                    f"UPDATE jobs SET {_AS_NEW}, inbox = ?, created = ?, changed = ?"
                    f" WHERE {_SAME_FILE} AND state IN ('done', 'failed')",
                    SUBMITTED,
                    now,
                    now,
                    *same,
                )
                self._database.run(
                    f"UPDATE jobs SET not_before = 0 WHERE {_SAME_FILE} AND state = 'queued'",
                    *same,
                )
            self._forget_failures(path)
            rows = self._database.run(f"SELECT id FROM jobs WHERE {_SAME_FILE}", *same)
            return str(rows[0]["id"])

    def restart(self, job: str, path: Path, *, fingerprint: Fingerprint) -> None:
        """A submitted file has changed: its job starts again with the new contents."""
        with self._database.transaction():
            # When it was submitted again meanwhile, it has a job of its own.
            if self.is_known(path, fingerprint):
                self.drop(job)
                return
            now = self._clock()
            self._database.run("DELETE FROM pages WHERE job = ?", job)
            # Behind the others: a file that never stops changing must not hold them up.
            self._database.run(
                f"UPDATE jobs SET {_AS_NEW}, created = ?, changed = ?,"
                " device = ?, inode = ?, size = ?, mtime_ns = ? WHERE id = ?",
                now,
                now,
                *fingerprint_values(fingerprint),
                job,
            )

    def retry(self, path: Path | None = None) -> int:
        """Queue all failed jobs again, or only that of ``path``; returns how many there were.

        Jobs that wait for a retry become due now.
        """
        condition = "" if path is None else " AND name_key = ?"
        values = () if path is None else (name_key(path),)
        with self._database.transaction():
            again = self._database.run(
                f"UPDATE jobs SET {_AS_NEW}, changed = ? WHERE state = 'failed'{condition}"
                " RETURNING id",
                self._clock(),
                *values,
            )
            self._database.run(
                f"UPDATE jobs SET not_before = 0 WHERE state = 'queued'{condition}", *values
            )
            return len(again)

    def is_known(self, path: Path, fingerprint: Fingerprint) -> bool:
        """Whether exactly this file has a job."""
        sql = f"SELECT 1 FROM jobs WHERE {_SAME_FILE}"
        return bool(self._database.run(sql, name_key(path), *fingerprint_values(fingerprint)))

    def requeue_interrupted(self) -> int:
        """Queue again what was running when a daemon ended; returns how many there were."""
        sql = "UPDATE jobs SET state = 'queued' WHERE state = 'running' RETURNING id"
        return len(self._database.run(sql))

    def take(self) -> Job | None:
        """The oldest job that is due, now running; None when there is none."""
        now = self._clock()
        rows = self._database.run(
            "UPDATE jobs SET state = 'running', attempts = attempts + 1, changed = ? WHERE id ="
            " (SELECT id FROM jobs WHERE state = 'queued' AND not_before <= ?"
            " ORDER BY created, id LIMIT 1) RETURNING *",
            now,
            now,
        )
        return job_from_row(rows[0]) if rows else None

    def take_by_id(self, job: str) -> Job | None:
        """A job that was `due`, now running; None when it is no longer queued."""
        rows = self._database.run(
            "UPDATE jobs SET state = 'running', attempts = attempts + 1, changed = ?"
            " WHERE id = ? AND state = 'queued' RETURNING *",
            self._clock(),
            job,
        )
        return job_from_row(rows[0]) if rows else None

    def due(self, inbox: Path | None, limit: int) -> list[Job]:
        """The oldest jobs of one inbox that are due, without taking them."""
        rows = self._database.run(
            "SELECT * FROM jobs WHERE state = 'queued' AND not_before <= ? AND inbox = ?"
            " ORDER BY created, id LIMIT ?",
            self._clock(),
            str(inbox or SUBMITTED),
            limit,
        )
        return [job_from_row(row) for row in rows]

    def next_due_in_s(self) -> float | None:
        """Seconds until a queued job is due: 0 when one is, None when none is queued."""
        row = self._database.run("SELECT MIN(not_before) AS due FROM jobs WHERE state = 'queued'")[
            0
        ]
        return None if row["due"] is None else max(0.0, row["due"] - self._clock())

    def requeue(
        self,
        job: str,
        delay_s: float = 0.0,
        *,
        message: str | None = None,
        crashed: bool = False,
        counts: bool = True,
    ) -> None:
        """Queue a running job again.

        Args:
            job: Its id.
            delay_s: Seconds before it is due.
            message: Why.
            crashed: A worker died over it.
            counts: Whether this start counts as an attempt.
        """
        now = self._clock()
        self._database.run(
            "UPDATE jobs SET state = 'queued', not_before = ?, message = ?, crashes = crashes + ?,"
            " attempts = attempts - ?, changed = ? WHERE id = ? AND state = 'running'",
            now + delay_s,
            as_utf8(message),
            int(crashed),
            int(not counts),
            now,
            job,
        )

    def finish(self, job: str, *, notify: bool = False, sidecars: Sequence[Path] = ()) -> None:
        """The job is done: its pages are in the sidecars now.

        Earlier jobs of the same file are forgotten, once their notifications are out.

        Args:
            job: Its id.
            notify: Whether a hook, tag or notification is to follow.
            sidecars: What was written.
        """
        with self._database.transaction():
            self._database.run(
                "DELETE FROM jobs WHERE name_key = (SELECT name_key FROM jobs WHERE id = ?)"
                " AND id <> ? AND state = 'done' AND notified",
                job,
                job,
            )
            self._database.run(
                "UPDATE jobs SET state = 'done', reason = NULL, message = NULL, notified = ?,"
                " sidecars = ?, changed = ? WHERE id = ?",
                int(not notify),
                paths_to_json(sidecars),
                self._clock(),
                job,
            )
            self._database.run("DELETE FROM pages WHERE job = ?", job)

    def fail(self, job: str, reason: RefusalReason, *, message: str, notify: bool = False) -> None:
        """The job has failed, for a reason that lasts."""
        with self._database.transaction():
            self._database.run(
                "UPDATE jobs SET state = 'failed', reason = ?, message = ?, notified = ?,"
                " changed = ? WHERE id = ?",
                reason.value,
                as_utf8(message),
                int(not notify),
                self._clock(),
                job,
            )
            self._database.run("DELETE FROM pages WHERE job = ?", job)

    def drop(self, job: str) -> None:
        """Forget a job whose file is gone."""
        self._database.run("DELETE FROM jobs WHERE id = ?", job)

    def _insert(self, path: Path, inbox: str, *, fingerprint: Fingerprint) -> str | None:
        now = self._clock()
        rows = self._database.run(
            "INSERT INTO jobs (id, path, name_key, inbox, device, inode, size, mtime_ns, state,"
            " created, changed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'queued', ?, ?)"
            " ON CONFLICT DO NOTHING RETURNING id",
            uuid.uuid4().hex[:12],
            bytes(path),
            name_key(path),
            inbox,
            *fingerprint_values(fingerprint),
            now,
            now,
        )
        return str(rows[0]["id"]) if rows else None

    def _forget_failures(self, path: Path) -> None:
        """An earlier failure under this name was about other contents."""
        self._database.run(
            "DELETE FROM jobs WHERE name_key = ? AND state = 'failed'", name_key(path)
        )
