"""The queue of jobs, and what is kept of each until it ends."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ocrd.journal.rows import (
    Job,
    hex_of,
    job_from,
    key,
    paths_as_json,
    reading_from,
    storable,
    values,
)
from ocrd.journal.schema import SUBMITTED, connect
from ocrd.types import Fingerprint, PageReading

_SAME_FILE = "name_key = ? AND device = ? AND inode = ? AND size = ? AND mtime_ns = ?"
_AS_NEW = (
    "state = 'queued', attempts = 0, crashes = 0, not_before = 0, reason = NULL, message = NULL, told = 1,"
    " sidecars = '[]'"
)


class Journal:
    """One journal, shared by the daemon's threads; every call is one transaction."""

    def __init__(
        self, folder: Path, clock: Callable[[], float] = time.time, *, patience: float = 10.0
    ) -> None:
        """``patience``: seconds to wait while another process writes.

        Raises ServiceError when it cannot be used.
        """
        self._clock = clock
        self.folder = folder
        self._lock = threading.RLock()
        self._db = connect(folder, patience)

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def hurry(self) -> None:
        """From now on wait for nobody: we are ending."""
        with self._lock:
            self._db.execute("PRAGMA busy_timeout = 100")

    @contextmanager
    def _at_once(self) -> Iterator[None]:
        """One transaction of several statements: another process sees all of them or none."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _run(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        with self._lock:
            return self._db.execute(sql, values).fetchall()

    def add(self, path: Path, inbox: Path, *, fingerprint: Fingerprint) -> str | None:
        """Queue a settled file; None when exactly this file is known already."""
        with self._at_once():
            job = self._insert(path, str(inbox), fingerprint=fingerprint)
            if job is not None:
                self._forget_failures(path)
            return job

    def _insert(self, path: Path, inbox: str, *, fingerprint: Fingerprint) -> str | None:
        now = self._clock()
        rows = self._run(
            "INSERT INTO jobs (id, path, name_key, inbox, device, inode, size, mtime_ns, state, created, changed)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'queued', ?, ?) ON CONFLICT DO NOTHING RETURNING id",
            uuid.uuid4().hex[:12], os.fsencode(path), key(path), inbox, *values(fingerprint), now, now,
        )  # fmt: skip
        return str(rows[0]["id"]) if rows else None

    def _forget_failures(self, path: Path) -> None:
        """An earlier failure of this name was of other bytes.

        It says nothing about the file that is there now.
        """
        self._run("DELETE FROM jobs WHERE name_key = ? AND state = 'failed'", key(path))

    def submit(self, path: Path, fingerprint: Fingerprint) -> str:
        """Queue a file where it lies.

        Its job, which is taken up again when it was done or had failed before.
        """
        this = (key(path), *values(fingerprint))
        with self._at_once():
            if self._insert(path, SUBMITTED, fingerprint=fingerprint) is None:
                now = self._clock()
                ended = f"{_SAME_FILE} AND state IN ('done', 'failed')"
                # It lies where it lies: the inbox that it once came by may be configured no more.
                new = f"{_AS_NEW}, inbox = ?, created = ?, changed = ?"
                self._run(f"UPDATE jobs SET {new} WHERE {ended}", SUBMITTED, now, now, *this)
                self._run(
                    f"UPDATE jobs SET not_before = 0 WHERE {_SAME_FILE} AND state = 'queued'", *this
                )
            self._forget_failures(path)
            return str(self._run(f"SELECT id FROM jobs WHERE {_SAME_FILE}", *this)[0]["id"])

    def refresh(self, job: str, path: Path, *, fingerprint: Fingerprint) -> None:
        """A submitted file has changed: its job begins anew with what lies there now."""
        with self._at_once():
            # Submitted again meanwhile, it has a job of its own already, which `latest` finds.
            if self.knows(path, fingerprint):
                self.drop(job)
                return
            now = self._clock()
            self._run("DELETE FROM pages WHERE job = ?", job)
            # Behind the others: one that never stops changing must not hold them up.
            self._run(
                f"UPDATE jobs SET {_AS_NEW}, created = ?, changed = ?,"
                " device = ?, inode = ?, size = ?, mtime_ns = ? WHERE id = ?",
                now, now, *values(fingerprint), job,
            )  # fmt: skip

    def latest(self, path: Path, since: float) -> Job | None:
        """The newest job of this file that was queued at ``since`` or later, whatever was in it."""
        sql = "SELECT * FROM jobs WHERE name_key = ? AND created >= ? ORDER BY created DESC LIMIT 1"
        rows = self._run(sql, key(path), since)
        return job_from(rows[0]) if rows else None

    def retry(self, path: Path | None = None) -> int:
        """Queue every failed job again as if it were new, or only the one of ``path``.

        How many there were.

        Those that wait for another try are due at once.
        """
        which, given = ("", ()) if path is None else (" AND name_key = ?", (key(path),))
        with self._at_once():
            again = self._run(
                f"UPDATE jobs SET {_AS_NEW}, changed = ? WHERE state = 'failed'{which} RETURNING id",
                self._clock(),
                *given,
            )
            self._run(f"UPDATE jobs SET not_before = 0 WHERE state = 'queued'{which}", *given)
            return len(again)

    def job(self, job: str) -> Job | None:
        """None when there is no such job, or its file is gone."""
        rows = self._run("SELECT * FROM jobs WHERE id = ?", job)
        return job_from(rows[0]) if rows else None

    def next_untold(self) -> Job | None:
        """The oldest job whose end is still to be told."""
        rows = self._run(
            "SELECT * FROM jobs WHERE told = 0 AND state IN ('done', 'failed') ORDER BY changed LIMIT 1"
        )
        return job_from(rows[0]) if rows else None

    def done_before(self, job: Job) -> bool:
        """Whether another job of this very file is done.

        A disk may have another number after a restart.
        """
        sql = "SELECT 1 FROM jobs WHERE name_key = ? AND size = ? AND mtime_ns = ? AND id <> ? AND state = 'done'"
        _, _, size, mtime_ns = values(job.fingerprint)
        return bool(self._run(sql, key(job.path), size, mtime_ns, job.id))

    def mark_told(self, job: Job) -> None:
        """Of this very end: one that was taken up again meanwhile will have another."""
        self._run("UPDATE jobs SET told = 1 WHERE id = ? AND changed = ?", job.id, job.changed)

    def knows(self, path: Path, fingerprint: Fingerprint) -> bool:
        return bool(
            self._run(f"SELECT 1 FROM jobs WHERE {_SAME_FILE}", key(path), *values(fingerprint))
        )

    def requeue_interrupted(self) -> int:
        """Queue again what was running when a daemon stopped; how many there were."""
        return len(
            self._run("UPDATE jobs SET state = 'queued' WHERE state = 'running' RETURNING id")
        )

    def take(self) -> Job | None:
        """The oldest job that is due, now running; None when nothing is."""
        now = self._clock()
        rows = self._run(
            "UPDATE jobs SET state = 'running', attempts = attempts + 1, changed = ? WHERE id ="
            " (SELECT id FROM jobs WHERE state = 'queued' AND not_before <= ? ORDER BY created, id LIMIT 1)"
            " RETURNING *",
            now, now,
        )  # fmt: skip
        return job_from(rows[0]) if rows else None

    def due(self, inbox: Path | None, limit: int) -> list[Job]:
        """The oldest jobs of one inbox that are due, without taking them."""
        sql = "SELECT * FROM jobs WHERE state = 'queued' AND not_before <= ? AND inbox = ? ORDER BY created, id LIMIT ?"
        return [
            job_from(row) for row in self._run(sql, self._clock(), str(inbox or SUBMITTED), limit)
        ]

    def take_this(self, job: str) -> Job | None:
        """A job that was `due`, now running; None when it is no longer queued."""
        rows = self._run(
            "UPDATE jobs SET state = 'running', attempts = attempts + 1, changed = ? WHERE id = ? AND state = 'queued'"
            " RETURNING *",
            self._clock(), job,
        )  # fmt: skip
        return job_from(rows[0]) if rows else None

    def next_due_in(self) -> float | None:
        """Seconds until a queued job is due, 0 when one is, None when none waits."""
        row = self._run("SELECT MIN(not_before) AS due FROM jobs WHERE state = 'queued'")[0]
        return None if row["due"] is None else max(0.0, row["due"] - self._clock())

    def hand_back(
        self,
        job: str,
        wait: float = 0.0,
        *,
        message: str | None = None,
        crashed: bool = False,
        tried: bool = True,
    ) -> None:
        """Queue a running job again.

        After ``wait`` seconds, and counting a worker's death when it ``crashed``.

        One that was not ``tried`` has one attempt less.
        """
        now = self._clock()
        self._run(
            "UPDATE jobs SET state = 'queued', not_before = ?, message = ?, crashes = crashes + ?,"
            " attempts = attempts - ?, changed = ? WHERE id = ? AND state = 'running'",
            now + wait, storable(message), int(crashed), int(not tried), now, job,
        )  # fmt: skip

    def keep_page(self, job: str, reading: PageReading) -> None:
        text = json.dumps(asdict(reading))
        self._run(
            "INSERT OR REPLACE INTO pages (job, page, reading) VALUES (?, ?, ?)",
            job,
            reading.index,
            text,
        )

    def pages(self, job: str) -> list[PageReading]:
        """The pages read so far, in order."""
        rows = self._run("SELECT reading FROM pages WHERE job = ? ORDER BY page", job)
        return [reading_from(json.loads(row["reading"])) for row in rows]

    def page_count(self, job: str) -> int:
        """How many pages were read so far."""
        return int(self._run("SELECT COUNT(*) AS n FROM pages WHERE job = ?", job)[0]["n"])

    def plan_outputs(self, source: Path, outputs: Mapping[Path, str]) -> None:
        """Note the sidecars about to be written for ``source`` (path -> sha256), so that a
        restart knows them as ours.

        What stood there before stays noted until `settle_outputs`: a kill may come between two
        files.
        """
        with self._at_once():
            for path, sha256 in outputs.items():
                self._run(
                    "INSERT OR IGNORE INTO outputs VALUES (?, ?, ?)",
                    key(source),
                    hex_of(path),
                    sha256,
                )

    def settle_outputs(self, source: Path, outputs: Mapping[Path, str]) -> None:
        """The planned sidecars are there: forget what stood in their places."""
        with self._at_once():
            for path, sha256 in outputs.items():
                self._run(
                    "DELETE FROM outputs WHERE name_key = ? AND file = ? AND sha256 <> ?",
                    key(source), hex_of(path), sha256,
                )  # fmt: skip

    def wrote(self, source: Path, path: Path, *, sha256: str) -> bool:
        """Whether these bytes at ``path`` are what we wrote there for ``source``."""
        return bool(
            self._run(
                "SELECT 1 FROM outputs WHERE name_key = ? AND file = ? AND sha256 = ?",
                key(source), hex_of(path), sha256,
            )
        )  # fmt: skip

    def finish(self, job: str, *, tell: bool = False, sidecars: Sequence[Path] = ()) -> None:
        """Done: the pages now live in the sidecars. With ``tell`` somebody is to be told.

        What was done with the same file before is forgotten, when it was told.
        """
        with self._at_once():
            self._run(
                "DELETE FROM jobs WHERE name_key = (SELECT name_key FROM jobs WHERE id = ?) AND id <> ?"
                " AND state = 'done' AND told",
                job, job,
            )  # fmt: skip
            self._run(
                "UPDATE jobs SET state = 'done', reason = NULL, message = NULL, told = ?, sidecars = ?, changed = ?"
                " WHERE id = ?",
                int(not tell), paths_as_json(sidecars), self._clock(), job,
            )  # fmt: skip
            self._run("DELETE FROM pages WHERE job = ?", job)

    def fail(self, job: str, reason: str, *, message: str, tell: bool = False) -> None:
        with self._at_once():
            self._run(
                "UPDATE jobs SET state = 'failed', reason = ?, message = ?, told = ?, changed = ? WHERE id = ?",
                reason, storable(message), int(not tell), self._clock(), job,
            )  # fmt: skip
            self._run("DELETE FROM pages WHERE job = ?", job)

    def drop(self, job: str) -> None:
        """Forget a job whose file is gone: there is nothing left to read or to say."""
        self._run("DELETE FROM jobs WHERE id = ?", job)

    def counts(self) -> dict[str, int]:
        counted = {
            row["state"]: row["n"]
            for row in self._run("SELECT state, COUNT(*) AS n FROM jobs GROUP BY state")
        }
        return {state: counted.get(state, 0) for state in ("queued", "running", "done", "failed")}

    def failed_since(self, when: float) -> int:
        """How many files failed at ``when`` or later."""
        return int(
            self._run(
                "SELECT COUNT(*) AS n FROM jobs WHERE state = 'failed' AND changed >= ?", when
            )[0]["n"]
        )

    def jobs(self, state: str | None = None, limit: int = 50) -> list[Job]:
        """The jobs that changed last, of one state or of all; newest first."""
        which, given = ("WHERE state = ?", (state,)) if state else ("", ())
        rows = self._run(f"SELECT * FROM jobs {which} ORDER BY changed DESC LIMIT ?", *given, limit)
        return [job_from(row) for row in rows]

    def waiting(self, limit: int = 10) -> list[Job]:
        """Jobs that were tried and will be tried again, with the reason in their message.

        Soonest first.
        """
        sql = "SELECT * FROM jobs WHERE state = 'queued' AND message IS NOT NULL ORDER BY not_before LIMIT ?"
        return [job_from(row) for row in self._run(sql, limit)]

    def failures(self, limit: int = 10) -> list[Job]:
        """The latest failures, newest first."""
        return self.jobs("failed", limit)

    def set_fact(self, name: str, value: object) -> None:
        """Publish something for ``ocrd status`` to read."""
        text = json.dumps(value)
        self._run(
            "INSERT INTO facts VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            name,
            text,
        )

    def fact(self, name: str) -> Any:
        rows = self._run("SELECT value FROM facts WHERE name = ?", name)
        return json.loads(rows[0]["value"]) if rows else None
