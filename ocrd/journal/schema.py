"""The journal's tables in SQLite, and how those of older versions become them."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from ocrd.errors import ServiceError

FILE = "journal.sqlite3"
VERSION = 3
# In place of an inbox: the file was handed over by `ocrd submit`, and lies anywhere.
SUBMITTED = ""

_TABLES = """
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
    created REAL NOT NULL, changed REAL NOT NULL,
    told INTEGER NOT NULL DEFAULT 1,      -- 0: its end is still to be told to a tag, a hook or a person
    sidecars TEXT NOT NULL DEFAULT '[]',  -- their paths, the bytes of each in hex
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

_FROM_2 = """
ALTER TABLE jobs ADD COLUMN told INTEGER NOT NULL DEFAULT 1;
ALTER TABLE jobs ADD COLUMN sidecars TEXT NOT NULL DEFAULT '[]';
CREATE INDEX jobs_untold ON jobs (changed) WHERE told = 0;
"""


def connect(folder: Path, patience: float) -> sqlite3.Connection:
    """Open the journal in ``folder``, made if it is not there.

    Raises ServiceError when it cannot be used.
    """
    path = folder / FILE
    try:
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=patience)
        db.row_factory = sqlite3.Row
        _use_wal(db, patience)
        db.execute("PRAGMA synchronous = FULL")  # a job that was promised survives a power cut
        db.execute("PRAGMA foreign_keys = ON")
        _migrate(db)
    except sqlite3.DatabaseError as error:
        raise unusable(folder, error) from error
    return db


def unusable(folder: Path, error: sqlite3.Error) -> ServiceError:
    """What to do about it, in a sentence."""
    path = folder / FILE
    if (
        type(error) is not sqlite3.DatabaseError
    ):  # locked, no room, no right to write: it may be sound
        return ServiceError(
            f"{path} cannot be used now ({error}); see that the disk has room and is yours to write"
        )
    return ServiceError(
        f"{path} is damaged ({error}); move it away and start again: the journal is rebuilt from the sidecars, but "
        "what was submitted and not read yet has to be submitted again"
    )


def _use_wal(db: sqlite3.Connection, patience: float) -> None:
    """Switch to WAL, which needs the file alone for a moment and does not wait for it by itself."""
    deadline = time.monotonic() + patience
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _migrate(db: sqlite3.Connection) -> None:
    """Make the tables once, even when a daemon and a command open a new journal in the same
    moment.
    """
    # Looked at first without a lock: a thousand commands may open a journal that the daemon is
    # writing into.
    if _version(db) == VERSION:
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        version = _version(db)
        if version > VERSION:
            raise ServiceError(
                f"the journal is of version {version}, but this ocrd knows {VERSION}; update ocrd"
            )
        if version < VERSION:
            for statement in (_FROM_2 if version == 2 else _anew()).split(";"):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {VERSION}")
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def _anew() -> str:
    """For a new file, and for one of the first, unreleased version.

    As a lost one, it is rebuilt from the sidecars.
    """
    return (
        ";".join(f"DROP TABLE IF EXISTS {table}" for table in ("pages", "jobs", "outputs", "facts"))
        + ";"
        + _TABLES
    )
