"""The journal opens what older versions left, and names what it cannot open."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ocrd.control.lock import single_instance
from ocrd.control.status import read_daemon
from ocrd.errors import JournalError, OutdatedJournalError
from ocrd.journal import FILE_NAME, Journal
from tests.unit.journal.samples import FINGERPRINT, reading, sqlite

INBOX = Path("/in")


def test_an_ending_daemon_does_not_wait_for_a_busy_journal(tmp_path: Path) -> None:
    journal = Journal(tmp_path, busy_timeout_s=30.0)
    other = sqlite(tmp_path)
    other.execute("BEGIN IMMEDIATE")
    journal.shorten_busy_timeout()
    started = time.monotonic()
    with pytest.raises(JournalError, match="locked"):
        journal.status.publish_daemon(None)
    assert time.monotonic() - started < 2
    other.close()


def test_a_transaction_that_fails_halfway_changes_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    job = journal.jobs.submit(Path("/desk/a.png"), FINGERPRINT)
    journal.pages.save(job, reading(0))
    sqlite(tmp_path).execute(
        "CREATE TRIGGER no BEFORE DELETE ON pages BEGIN SELECT RAISE(ABORT, 'disk full'); END"
    )
    with pytest.raises(JournalError, match="disk full"):
        journal.jobs.finish(job)
    assert journal.history.counts()["queued"] == 1 and len(journal.pages.readings(job)) == 1


def test_a_journal_of_the_version_before_keeps_its_jobs(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    kept = journal.jobs.submit(Path("/desk/a.png"), FINGERPRINT)
    journal.close()
    with contextlib.closing(sqlite(tmp_path)) as database:
        database.executescript(
            "DROP INDEX jobs_to_notify; ALTER TABLE jobs DROP COLUMN notified;"
            "ALTER TABLE jobs DROP COLUMN sidecars; DROP TABLE status;"
            "CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);"
            "INSERT INTO facts VALUES ('pause', 'true'), ('daemon', '{}');"
            "PRAGMA user_version = 2"
        )
    again = Journal(tmp_path)
    found = again.history.job(kept)
    assert found is not None and found.path == Path("/desk/a.png")
    again.jobs.finish(kept, notify=True)
    assert again.outbox.next_pending() is not None
    assert again.status.pause_requested() and again.status.daemon() is None


def test_a_journal_is_opened_while_another_process_writes(tmp_path: Path) -> None:
    Journal(tmp_path).close()
    other = sqlite(tmp_path)
    other.execute("BEGIN IMMEDIATE")
    started = time.monotonic()
    Journal(tmp_path).close()
    assert time.monotonic() - started < 5  # it would have waited ten seconds for the lock
    other.close()


def test_a_damaged_journal_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"not a database at all" * 100)
    with pytest.raises(JournalError, match="move it away"):
        Journal(tmp_path)


def test_a_journal_from_a_newer_ocrd_is_not_touched(tmp_path: Path) -> None:
    Journal(tmp_path).close()
    db = sqlite3.connect(tmp_path / FILE_NAME)
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(JournalError, match="99"):
        Journal(tmp_path)


def test_a_journal_of_the_unreleased_version_is_created_again(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / FILE_NAME)
    db.executescript("CREATE TABLE jobs (id TEXT, outputs TEXT); PRAGMA user_version = 1")
    db.close()
    journal = Journal(tmp_path)
    assert (
        journal.jobs.add(INBOX / "a.png", INBOX, fingerprint=FINGERPRINT)
        and journal.history.counts()["queued"] == 1
    )
    journal.close()


def test_many_threads_can_open_a_new_journal_together(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        for trial in range(10):
            folder = tmp_path / str(trial)
            folder.mkdir()
            journals = list(pool.map(Journal, [folder] * 8))
            assert [j.history.counts()["queued"] for j in journals] == [0] * 8
            for journal in journals:
                journal.close()


def test_pages_of_the_version_before_are_read_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    job = journal.jobs.submit(Path("/desk/a.pdf"), FINGERPRINT)
    journal.pages.save(job, reading(0))
    journal.close()
    with contextlib.closing(sqlite(tmp_path)) as database:
        database.executescript(
            "DROP INDEX jobs_to_notify; ALTER TABLE jobs RENAME COLUMN notified TO told;"
            "CREATE INDEX jobs_untold ON jobs (changed) WHERE told = 0;"
            "ALTER TABLE status RENAME TO facts; PRAGMA user_version = 3"
        )
    again = Journal(tmp_path)
    assert again.pages.readings(job) == [] and again.history.counts()["queued"] == 1


def test_no_error_of_sqlite_leaves_the_journal(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    sqlite(tmp_path).execute("DROP TABLE jobs")
    with pytest.raises(JournalError, match="no such table"):
        journal.jobs.take()
    journal.close()
    with pytest.raises(JournalError):
        journal.status.publish_pause("on battery")


def test_a_command_does_not_convert_the_journal_of_a_running_older_daemon(tmp_path: Path) -> None:
    Journal(tmp_path).close()
    with contextlib.closing(sqlite(tmp_path)) as database:
        database.executescript(
            "DROP INDEX jobs_to_notify; ALTER TABLE jobs RENAME COLUMN notified TO told;"
            "CREATE INDEX jobs_untold ON jobs (changed) WHERE told = 0;"
            "ALTER TABLE status RENAME TO facts; PRAGMA user_version = 3"
        )
    with single_instance(tmp_path):
        with pytest.raises(OutdatedJournalError, match="ocrd restart"):
            Journal(tmp_path)
        assert read_daemon(tmp_path) is None  # `ocrd restart` goes on
        Journal(tmp_path, in_use=lambda: False).close()  # the new daemon itself
        Journal(tmp_path).close()


def test_a_command_opens_the_journal_of_a_running_daemon_of_its_version(tmp_path: Path) -> None:
    with single_instance(tmp_path):
        Journal(tmp_path).close()
        Journal(tmp_path).close()
