"""The journal's connection to SQLite: transactions, locks, and errors of our own."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ocrd.errors import JournalError
from ocrd.journal.schema import FILE_NAME, migrate, use_wal

# Milliseconds that a call waits for another process once the daemon is ending.
BUSY_TIMEOUT_AT_END_MS = 100

# A row's values by column name.
Row = sqlite3.Row


class Database:
    """One SQLite database, shared by threads.

    Every method raises JournalError when the database cannot be used.
    """

    def __init__(self, folder: Path, busy_timeout_s: float, *, in_use: Callable[[], bool]) -> None:
        """Open the database in ``folder``; create it when it is missing.

        Args:
            folder: The state folder.
            busy_timeout_s: Seconds to wait while another process writes.
            in_use: Whether a daemon uses the database; then it is not migrated.
        """
        self.folder = folder
        self._lock = threading.RLock()
        with self._errors():
            self._connection = sqlite3.connect(
                folder / FILE_NAME,
                isolation_level=None,
                check_same_thread=False,
                timeout=busy_timeout_s,
            )
            self._connection.row_factory = sqlite3.Row
            use_wal(self._connection, busy_timeout_s)
            # A job that was accepted survives a power cut.
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.execute("PRAGMA foreign_keys = ON")
            migrate(self._connection, in_use=in_use)

    def close(self) -> None:
        """Close the connection."""
        with self._lock, self._errors():
            self._connection.close()

    def shorten_busy_timeout(self) -> None:
        """Wait hardly for other processes from now on: the daemon is ending."""
        self.run(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_AT_END_MS}")

    def run(self, sql: str, *values: Any) -> list[Row]:
        """Execute one statement and return its rows."""
        with self._lock, self._errors():
            return self._connection.execute(sql, values).fetchall()

    def run_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Execute one statement for each of ``rows``, in one transaction."""
        with self.transaction(), self._errors():
            self._connection.executemany(sql, rows)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Several statements of which another process sees all or none."""
        with self._lock:
            self.run("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self.run("ROLLBACK")
                raise
            self.run("COMMIT")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise _journal_error(self.folder / FILE_NAME, error) from error


def _journal_error(path: Path, error: sqlite3.Error) -> JournalError:
    if type(error) is not sqlite3.DatabaseError:  # locked, disk full, no permission: it may be fine
        return JournalError(
            f"{path} cannot be used now ({error}); check that the disk has room and that you may"
            " write to it"
        )
    return JournalError(
        f"{path} is damaged ({error}); move it away and start again: the journal is rebuilt from"
        " the sidecars, but files that were submitted and not read yet must be submitted again"
    )
