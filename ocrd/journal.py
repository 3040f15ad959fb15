"""The journal: every file that settled, what became of it, and each page as it came. SQLite in WAL mode.

A job goes queued -> running -> done | failed. What is `running` when a daemon starts was interrupted,
so it is queued again, and goes on at its next page.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
import unicodedata
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ocrd.errors import ServiceError
from ocrd.types import Attempt, Block, Fallback, Fingerprint, PageReading

FILE = "journal.sqlite3"
SCHEMA_VERSION = 3
SUBMITTED = ""
"""In place of an inbox: the file was handed over by `ocrd submit`, and lies anywhere."""

_SCHEMA = """
CREATE TABLE jobs (
    id TEXT PRIMARY KEY,
    path BLOB NOT NULL,            -- the bytes of the path as they lie on disk
    name_key TEXT NOT NULL,        -- the same in NFC: one file may be announced in either form
    inbox TEXT NOT NULL,           -- '' for what was submitted
    device INTEGER NOT NULL, inode INTEGER NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed')),
    crashes INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    not_before REAL NOT NULL DEFAULT 0,
    reason TEXT, message TEXT,
    told INTEGER NOT NULL DEFAULT 1,  -- 0: its end is still to be told to a hook or a person
    created REAL NOT NULL, changed REAL NOT NULL,
    UNIQUE (name_key, device, inode, size, mtime_ns)
);
CREATE INDEX jobs_by_state ON jobs (state, not_before, created);
CREATE INDEX jobs_untold ON jobs (changed) WHERE told = 0;
CREATE TABLE pages (
    job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    page INTEGER NOT NULL,
    reading TEXT NOT NULL,
    PRIMARY KEY (job, page)
);
CREATE TABLE outputs (             -- what we wrote or are about to write: anything else is somebody's own
    name_key TEXT NOT NULL,        -- of the picture: it outlives its job, as a set may be half replaced
    file TEXT NOT NULL,            -- the sidecar's path, its bytes in hex
    sha256 TEXT NOT NULL,
    PRIMARY KEY (name_key, file, sha256)
);
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""

_SAME_FILE = "name_key = ? AND device = ? AND inode = ? AND size = ? AND mtime_ns = ?"
_AS_NEW = "state = 'queued', attempts = 0, crashes = 0, not_before = 0, reason = NULL, message = NULL, told = 1"


@dataclass(frozen=True)
class Job:
    id: str
    path: Path
    inbox: Path | None
    """None for a file that was submitted where it lies."""
    fingerprint: Fingerprint
    state: str
    crashes: int
    attempts: int
    reason: str | None
    message: str | None
    changed: float


class Journal:
    """One journal, shared by the daemon's threads; every call is one transaction."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self.folder = folder
        self._lock = threading.Lock()
        path = folder / FILE
        try:
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
            self._db.row_factory = sqlite3.Row
            self._use_wal()
            self._db.execute("PRAGMA synchronous = FULL")  # a job that was promised survives a power cut
            self._db.execute("PRAGMA foreign_keys = ON")
            self._migrate()
        except sqlite3.DatabaseError as error:
            raise ServiceError(
                f"{path} cannot be opened ({error}); move it away and start again: it is rebuilt from the sidecars"
            ) from error

    def _use_wal(self) -> None:
        """Switch to WAL, which needs the file alone for a moment and does not wait for it by itself."""
        deadline = time.monotonic() + 10
        while True:
            try:
                self._db.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def _migrate(self) -> None:
        """Make the tables once, even when a daemon and a command open a new journal in the same moment."""
        # Looked at first without a lock: a thousand commands may open a journal that the daemon is writing into.
        if self._db.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION:
            return
        self._db.execute("BEGIN IMMEDIATE")
        try:
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version > SCHEMA_VERSION:
                raise ServiceError(
                    f"the journal is of version {version}, but this ocrd knows {SCHEMA_VERSION}; update ocrd"
                )
            if version < SCHEMA_VERSION:
                # A journal of an unreleased version: made anew, as a lost one is, from the sidecars.
                for table in ("pages", "jobs", "outputs", "facts"):
                    self._db.execute(f"DROP TABLE IF EXISTS {table}")
                for statement in _SCHEMA.split(";"):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def _run(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        with self._lock:
            return self._db.execute(sql, values).fetchall()

    def add(self, path: Path, inbox: Path, fingerprint: Fingerprint) -> str | None:
        """Queue a settled file; None when exactly this file is known already."""
        job, now = uuid.uuid4().hex[:12], self._clock()
        rows = self._run(
            "INSERT INTO jobs (id, path, name_key, inbox, device, inode, size, mtime_ns, state, created, changed)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'queued', ?, ?) ON CONFLICT DO NOTHING RETURNING id",
            job, os.fsencode(path), _key(path), str(inbox), *_values(fingerprint), now, now,
        )  # fmt: skip
        if rows:
            # An earlier failure of this name was of other bytes: it says nothing about the file that is there now.
            self._run("DELETE FROM jobs WHERE name_key = ? AND state = 'failed'", _key(path))
        return job if rows else None

    def submit(self, path: Path, fingerprint: Fingerprint) -> str:
        """Queue a file where it lies: its job, which is taken up again when it was done or had failed before."""
        job, now = uuid.uuid4().hex[:12], self._clock()
        self._run(
            "INSERT INTO jobs (id, path, name_key, inbox, device, inode, size, mtime_ns, state, created, changed)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'queued', ?, ?) ON CONFLICT DO NOTHING",
            job, os.fsencode(path), _key(path), SUBMITTED, *_values(fingerprint), now, now,
        )  # fmt: skip
        this = (_key(path), *_values(fingerprint))
        self._run(
            f"UPDATE jobs SET {_AS_NEW}, created = ?, changed = ? WHERE {_SAME_FILE} AND state IN ('done', 'failed')",
            now, now, *this,
        )  # fmt: skip
        self._run(f"UPDATE jobs SET not_before = 0 WHERE {_SAME_FILE} AND state = 'queued'", *this)
        rows = self._run(f"SELECT id FROM jobs WHERE {_SAME_FILE}", *this)
        return str(rows[0]["id"]) if rows else job  # the daemon may have found its file gone already

    def refresh(self, job: str, path: Path, fingerprint: Fingerprint) -> None:
        """A submitted file has changed: its job is for what lies there now, from the first page on."""
        if self.knows(path, fingerprint):  # it was submitted again meanwhile
            self.drop(job)
            return
        self._run("DELETE FROM pages WHERE job = ?", job)
        self._run(
            "UPDATE jobs SET state = 'queued', device = ?, inode = ?, size = ?, mtime_ns = ?, changed = ? WHERE id = ?",
            *_values(fingerprint), self._clock(), job,
        )  # fmt: skip

    def retry(self) -> int:
        """Queue every failed job again, as if it were new; how many there were."""
        rows = self._run(f"UPDATE jobs SET {_AS_NEW}, changed = ? WHERE state = 'failed' RETURNING id", self._clock())
        self._run("UPDATE jobs SET not_before = 0 WHERE state = 'queued'")
        return len(rows)

    def job(self, job: str) -> Job | None:
        """None when there is no such job, or its file is gone."""
        rows = self._run("SELECT * FROM jobs WHERE id = ?", job)
        return _job(rows[0]) if rows else None

    def next_untold(self) -> Job | None:
        """The oldest job whose end is still to be told."""
        rows = self._run("SELECT * FROM jobs WHERE told = 0 AND state IN ('done', 'failed') ORDER BY changed LIMIT 1")
        return _job(rows[0]) if rows else None

    def mark_told(self, job: Job) -> None:
        """Of this very end: one that was taken up again meanwhile will have another."""
        self._run("UPDATE jobs SET told = 1 WHERE id = ? AND changed = ?", job.id, job.changed)

    def knows(self, path: Path, fingerprint: Fingerprint) -> bool:
        return bool(self._run(f"SELECT 1 FROM jobs WHERE {_SAME_FILE}", _key(path), *_values(fingerprint)))

    def requeue_interrupted(self) -> int:
        """Queue again what was running when a daemon stopped; how many there were."""
        return len(self._run("UPDATE jobs SET state = 'queued' WHERE state = 'running' RETURNING id"))

    def take(self) -> Job | None:
        """The oldest job that is due, now running; None when nothing is."""
        now = self._clock()
        rows = self._run(
            "UPDATE jobs SET state = 'running', attempts = attempts + 1, changed = ? WHERE id ="
            " (SELECT id FROM jobs WHERE state = 'queued' AND not_before <= ? ORDER BY created, id LIMIT 1)"
            " RETURNING *",
            now, now,
        )  # fmt: skip
        return _job(rows[0]) if rows else None

    def due(self, inbox: Path | None, limit: int) -> list[Job]:
        """The oldest jobs of one inbox that are due, without taking them."""
        sql = "SELECT * FROM jobs WHERE state = 'queued' AND not_before <= ? AND inbox = ? ORDER BY created, id LIMIT ?"
        return [_job(row) for row in self._run(sql, self._clock(), str(inbox or SUBMITTED), limit)]

    def take_this(self, job: str) -> Job | None:
        """A job that was `due`, now running; None when it is no longer queued."""
        rows = self._run(
            "UPDATE jobs SET state = 'running', attempts = attempts + 1, changed = ? WHERE id = ? AND state = 'queued'"
            " RETURNING *",
            self._clock(), job,
        )  # fmt: skip
        return _job(rows[0]) if rows else None

    def next_due_in(self) -> float | None:
        """Seconds until a queued job is due, 0 when one is, None when none waits."""
        row = self._run("SELECT MIN(not_before) AS due FROM jobs WHERE state = 'queued'")[0]
        return None if row["due"] is None else max(0.0, row["due"] - self._clock())

    def hand_back(self, job: str, wait: float = 0.0, message: str | None = None, crashed: bool = False) -> None:
        """Queue a running job again: after ``wait`` seconds, and counting a worker's death when it ``crashed``."""
        now = self._clock()
        self._run(
            "UPDATE jobs SET state = 'queued', not_before = ?, message = ?, crashes = crashes + ?, changed = ?"
            " WHERE id = ? AND state = 'running'",
            now + wait, _storable(message), int(crashed), now, job,
        )  # fmt: skip

    def keep_page(self, job: str, reading: PageReading) -> None:
        text = json.dumps(asdict(reading))
        self._run("INSERT OR REPLACE INTO pages (job, page, reading) VALUES (?, ?, ?)", job, reading.index, text)

    def pages(self, job: str) -> list[PageReading]:
        """The pages read so far, in order."""
        rows = self._run("SELECT reading FROM pages WHERE job = ? ORDER BY page", job)
        return [reading_from(json.loads(row["reading"])) for row in rows]

    def page_count(self, job: str) -> int:
        """How many pages were read so far."""
        return int(self._run("SELECT COUNT(*) AS n FROM pages WHERE job = ?", job)[0]["n"])

    def plan_outputs(self, source: Path, outputs: Mapping[Path, str]) -> None:
        """Note the sidecars about to be written for ``source`` (path -> sha256), so that a restart knows them as ours.

        What stood there before stays noted until `settle_outputs`: a kill may come between two files.
        """
        for path, sha256 in outputs.items():
            self._run("INSERT OR IGNORE INTO outputs VALUES (?, ?, ?)", _key(source), os.fsencode(path).hex(), sha256)

    def settle_outputs(self, source: Path, outputs: Mapping[Path, str]) -> None:
        """The planned sidecars are there: forget what stood in their places."""
        for path, sha256 in outputs.items():
            self._run(
                "DELETE FROM outputs WHERE name_key = ? AND file = ? AND sha256 <> ?",
                _key(source), os.fsencode(path).hex(), sha256,
            )  # fmt: skip

    def wrote(self, source: Path, path: Path, sha256: str) -> bool:
        """Whether these bytes at ``path`` are what we wrote there for ``source``."""
        return bool(
            self._run(
                "SELECT 1 FROM outputs WHERE name_key = ? AND file = ? AND sha256 = ?",
                _key(source), os.fsencode(path).hex(), sha256,
            )
        )  # fmt: skip

    def outputs(self, source: Path) -> list[Path]:
        """The sidecars that were written for ``source``, those that are there."""
        rows = self._run("SELECT DISTINCT file FROM outputs WHERE name_key = ? ORDER BY file", _key(source))
        found = [Path(os.fsdecode(bytes.fromhex(row["file"]))) for row in rows]
        return [path for path in found if path.exists()]

    def finish(self, job: str, tell: bool = False) -> None:
        """Done: the pages now live in the sidecars. With ``tell`` somebody is to be told."""
        self._run(
            "UPDATE jobs SET state = 'done', reason = NULL, message = NULL, told = ?, changed = ? WHERE id = ?",
            int(not tell),
            self._clock(),
            job,
        )
        self._run("DELETE FROM pages WHERE job = ?", job)

    def fail(self, job: str, reason: str, message: str, tell: bool = False) -> None:
        now = self._clock()
        self._run(
            "UPDATE jobs SET state = 'failed', reason = ?, message = ?, told = ?, changed = ? WHERE id = ?",
            reason,
            _storable(message),
            int(not tell),
            now,
            job,
        )
        self._run("DELETE FROM pages WHERE job = ?", job)

    def drop(self, job: str) -> None:
        """Forget a job whose file is gone: there is nothing left to read or to say."""
        self._run("DELETE FROM jobs WHERE id = ?", job)

    def counts(self) -> dict[str, int]:
        counted = {row["state"]: row["n"] for row in self._run("SELECT state, COUNT(*) AS n FROM jobs GROUP BY state")}
        return {state: counted.get(state, 0) for state in ("queued", "running", "done", "failed")}

    def failed_since(self, when: float) -> int:
        """How many files failed at ``when`` or later."""
        return int(self._run("SELECT COUNT(*) AS n FROM jobs WHERE state = 'failed' AND changed >= ?", when)[0]["n"])

    def waiting(self, limit: int = 10) -> list[Job]:
        """Jobs that were tried and will be tried again, with the reason in their message; soonest first."""
        sql = "SELECT * FROM jobs WHERE state = 'queued' AND message IS NOT NULL ORDER BY not_before LIMIT ?"
        return [_job(row) for row in self._run(sql, limit)]

    def failures(self, limit: int = 10) -> list[Job]:
        """The latest failures, newest first."""
        return [
            _job(r) for r in self._run("SELECT * FROM jobs WHERE state = 'failed' ORDER BY changed DESC LIMIT ?", limit)
        ]

    def set_fact(self, name: str, value: object) -> None:
        """Publish something for ``ocrd status`` to read."""
        text = json.dumps(value)
        self._run("INSERT INTO facts VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", name, text)

    def fact(self, name: str) -> Any:
        rows = self._run("SELECT value FROM facts WHERE name = ?", name)
        return json.loads(rows[0]["value"]) if rows else None


def reading_from(data: Mapping[str, Any]) -> PageReading:
    """A `PageReading` from its JSON form, as ``dataclasses.asdict`` wrote it."""
    blocks = tuple(
        Block(text=b["text"], label=b["label"], bbox=tuple(b["bbox"]) if b["bbox"] else None, page=b["page"])
        for b in data["blocks"]
    )
    fallbacks = tuple(Fallback(**f) for f in data.get("fallbacks", ()))
    attempts = tuple(Attempt(**a) for a in data.get("attempts", ()))
    return PageReading(**{**data, "blocks": blocks, "fallbacks": fallbacks, "attempts": attempts})


def _key(path: Path) -> str:
    return unicodedata.normalize("NFC", os.fsencode(path).decode("utf-8", "backslashreplace"))


def _storable(message: str | None) -> str | None:
    """Names that are no UTF-8 come as surrogates, which SQLite's texts cannot hold."""
    return None if message is None else message.encode("utf-8", "backslashreplace").decode()


def _values(fingerprint: Fingerprint) -> tuple[int, ...]:
    # SQLite's integers are signed 64-bit; some file systems give inodes that are not.
    return tuple(v - (1 << 64) if v >= 1 << 63 else v for v in asdict(fingerprint).values())


def _job(row: sqlite3.Row) -> Job:
    return Job(
        id=row["id"],
        path=Path(os.fsdecode(row["path"])),
        inbox=None if row["inbox"] == SUBMITTED else Path(row["inbox"]),
        fingerprint=Fingerprint(row["device"], row["inode"], row["size"], row["mtime_ns"]),
        state=row["state"],
        crashes=row["crashes"],
        attempts=row["attempts"],
        reason=row["reason"],
        message=row["message"],
        changed=row["changed"],
    )
