"""The journal's tables, and how those of older versions are converted."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable

from ocrd.errors import JournalError, OutdatedJournalError

FILE_NAME = "journal.sqlite3"
VERSION = 4
# In place of an inbox: the file was submitted with `ocrd submit`, and may be anywhere.
SUBMITTED = ""

# No semicolons in the comments: the statements are split at them.
_TABLES = """
CREATE TABLE jobs (
    id TEXT PRIMARY KEY,
    path BLOB NOT NULL,            -- the bytes of the path, as on disk
    name_key TEXT NOT NULL,        -- the path in NFC: one file may be announced in either form
    inbox TEXT NOT NULL,           -- '' for a submitted file
    device INTEGER NOT NULL, inode INTEGER NOT NULL, size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed')),
    crashes INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    not_before REAL NOT NULL DEFAULT 0,
    reason TEXT, message TEXT,
    created REAL NOT NULL, changed REAL NOT NULL,
    notified INTEGER NOT NULL DEFAULT 1,  -- 0: its hook, tag and notification are still to come
    sidecars TEXT NOT NULL DEFAULT '[]',  -- their paths, the bytes of each in hex
    UNIQUE (name_key, device, inode, size, mtime_ns)
);
CREATE INDEX jobs_by_state ON jobs (state, not_before, created);
CREATE INDEX jobs_to_notify ON jobs (changed) WHERE notified = 0;
CREATE TABLE pages (
    job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    page INTEGER NOT NULL,
    reading TEXT NOT NULL,
    PRIMARY KEY (job, page)
);
CREATE TABLE outputs (             -- what ocrd wrote or is about to write: the rest is the user's
    name_key TEXT NOT NULL,        -- of the source, outlives its job: a set may be half replaced
    file TEXT NOT NULL,            -- the sidecar's path, its bytes in hex
    sha256 TEXT NOT NULL,
    PRIMARY KEY (name_key, file, sha256)
);
CREATE TABLE status (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""

_FROM_2 = """
ALTER TABLE jobs ADD COLUMN told INTEGER NOT NULL DEFAULT 1;
ALTER TABLE jobs ADD COLUMN sidecars TEXT NOT NULL DEFAULT '[]';
CREATE INDEX jobs_untold ON jobs (changed) WHERE told = 0;
"""

# The readings of version 3 have another form: unfinished documents start again at page 1.
_FROM_3 = """
DROP INDEX jobs_untold;
ALTER TABLE jobs RENAME COLUMN told TO notified;
CREATE INDEX jobs_to_notify ON jobs (changed) WHERE notified = 0;
DELETE FROM pages;
CREATE TABLE status (name TEXT PRIMARY KEY, value TEXT NOT NULL);
INSERT INTO status SELECT 'pause_requested', value FROM facts WHERE name = 'pause';
DROP TABLE facts;
"""


def use_wal(connection: sqlite3.Connection, busy_timeout_s: float) -> None:
    """Switch to WAL, which needs the file for itself for a moment and does not wait for it."""
    deadline = time.monotonic() + busy_timeout_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def migrate(connection: sqlite3.Connection, *, in_use: Callable[[], bool]) -> None:
    """Create or convert the tables, once, even when two processes open a new journal together.

    Args:
        connection: The journal.
        in_use: Whether a daemon uses the journal, which is of an older ocrd if the version is.

    Raises:
        OutdatedJournalError: A daemon of an older ocrd uses it.
        JournalError: The journal is from a newer ocrd.
        sqlite3.Error: The journal cannot be used.
    """
    # First without a lock: many commands may open a journal that the daemon is writing to.
    if _version(connection) == VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = _version(connection)
        if version > VERSION:
            raise JournalError(
                f"the journal has version {version}, but this ocrd knows {VERSION}; update ocrd"
            )
        if 0 < version < VERSION and in_use():
            raise OutdatedJournalError("a daemon of an older ocrd is running; run: ocrd restart")
        for statement in _steps(version).split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VERSION}")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _steps(version: int) -> str:
    """The statements that convert tables of ``version``; 0 is a new file."""
    match version:
        case 4:
            return ""
        case 3:
            return _FROM_3
        case 2:
            return _FROM_2 + _FROM_3
        case _:
            # The first version was never released: like a lost journal, it is rebuilt from the
            # sidecars.
            old = ("pages", "jobs", "outputs", "facts")
            return "".join(f"DROP TABLE IF EXISTS {table};" for table in old) + _TABLES
