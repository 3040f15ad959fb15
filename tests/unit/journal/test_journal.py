"""The journal keeps what was promised."""

from __future__ import annotations

import os
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ocrd.errors import ServiceError
from ocrd.journal import FILE, Journal
from ocrd.types import Block, Fingerprint, PageReading

PRINT = Fingerprint(1, 2, 3, 4)
INBOX = Path("/in")


def reading(index: int) -> PageReading:
    block = Block("hi", bbox=(1, 2, 3, 4), page=index)
    return PageReading(index, 10, 20, "hi", (block,), 2, "eos", 0.5, "native")


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path)


def test_a_file_is_queued_once_however_often_it_is_announced(journal: Journal) -> None:
    assert journal.add(INBOX / "a.png", INBOX, fingerprint=PRINT)
    assert journal.add(INBOX / "a.png", INBOX, fingerprint=PRINT) is None
    assert journal.counts()["queued"] == 1


def test_a_file_that_was_read_or_failed_is_taken_up_again_when_it_is_submitted(
    journal: Journal,
) -> None:
    job = journal.submit(Path("/desk/a.png"), PRINT)
    assert journal.submit(Path("/desk/a.png"), PRINT) == job and journal.counts()["queued"] == 1
    taken = journal.take()
    assert taken is not None and taken.inbox is None
    assert (
        journal.submit(Path("/desk/a.png"), PRINT) == job and journal.counts()["running"] == 1
    )  # it is in hand
    journal.fail(job, "crash", message="no", tell=True)
    assert journal.submit(Path("/desk/a.png"), PRINT) == job
    again = journal.take()
    assert again is not None and (again.attempts, again.crashes, again.reason) == (1, 0, None)
    assert journal.next_untold() is None  # of its former end there is nothing to tell any more
    journal.finish(job)
    assert journal.submit(Path("/desk/a.png"), PRINT) == job and journal.counts()["queued"] == 1


def test_one_that_waits_for_another_try_is_due_at_once_when_it_is_submitted(tmp_path: Path) -> None:
    journal = Journal(tmp_path, clock=lambda: 100.0)
    job = journal.add(INBOX / "a.png", INBOX, fingerprint=PRINT)
    assert job and journal.take()
    journal.hand_back(job, 600.0, message="not now")
    assert journal.next_due_in() == 600.0
    assert journal.submit(INBOX / "a.png", PRINT) == job
    assert journal.next_due_in() == 0.0
    taken = journal.take()
    assert taken is not None and taken.inbox == INBOX  # it stays its inbox's


def test_a_submitted_file_that_changed_keeps_its_job_and_loses_its_pages(journal: Journal) -> None:
    path = Path("/desk/a.png")
    other = Fingerprint(1, 2, 30, 40)
    job = journal.submit(path, PRINT)
    assert journal.take()
    journal.keep_page(job, reading(0))
    journal.hand_back(job, message="trouble", crashed=True)
    journal.refresh(job, path, fingerprint=other)
    found = journal.job(job)
    assert (
        found is not None
        and (found.state, found.fingerprint) == ("queued", other)
        and journal.pages(job) == []
    )
    assert (found.attempts, found.crashes, found.message) == (0, 0, None)  # it is another file now
    second = journal.submit(path, PRINT)  # the old bytes are back, and are a job of their own
    journal.refresh(job, path, fingerprint=PRINT)
    assert journal.job(job) is None
    latest = journal.latest(path, 0.0)
    assert latest is not None and latest.id == second
    assert (
        journal.latest(path, time.time() + 1) is None
    )  # an older one says nothing of what was submitted since


def test_ends_are_told_once_and_in_their_order(tmp_path: Path) -> None:
    now = 0.0
    journal = Journal(tmp_path, clock=lambda: now)
    jobs = []
    for number in range(3):
        now = float(number)
        jobs.append(journal.submit(Path(f"/desk/{number}.png"), Fingerprint(1, number, 3, 4)))
        assert journal.take()
        journal.finish(jobs[-1], tell=number != 1)
    first = journal.next_untold()
    assert first is not None and first.id == jobs[0]
    journal.mark_told(first)
    second = journal.next_untold()
    assert second is not None and second.id == jobs[2]
    now = 9.0
    journal.submit(Path("/desk/2.png"), Fingerprint(1, 2, 3, 4))
    assert journal.take()
    journal.fail(jobs[2], "crash", message="no", tell=True)
    journal.mark_told(second)  # of the former end: the new one is still to be told
    third = journal.next_untold()
    assert third is not None and third.state == "failed"


def test_a_job_knows_the_set_that_was_written_for_it(journal: Journal) -> None:
    job = journal.submit(Path("/desk/a.png"), PRINT)
    written = (Path("/desk/a.png-2.txt"), Path(os.fsdecode(b"/desk/z\xff.json")))
    journal.finish(job, sidecars=written)
    found = journal.job(job)
    assert found is not None and found.sidecars == written
    journal.submit(Path("/desk/a.png"), PRINT)
    again = journal.job(job)
    assert again is not None and again.sidecars == ()


def test_a_file_of_an_inbox_that_is_no_more_is_read_as_a_submitted_one(journal: Journal) -> None:
    job = journal.add(INBOX / "a.png", INBOX, fingerprint=PRINT)
    assert job
    journal.finish(job)
    assert journal.submit(INBOX / "a.png", PRINT) == job
    taken = journal.take()
    assert taken is not None and taken.inbox is None


def test_ending_waits_for_nobody(tmp_path: Path) -> None:
    journal = Journal(tmp_path, patience=30.0)
    other = Journal(tmp_path)
    other._db.execute("BEGIN IMMEDIATE")
    journal.hurry()
    started = time.monotonic()
    with pytest.raises(sqlite3.OperationalError):
        journal.set_fact("daemon", None)
    assert time.monotonic() - started < 2
    other._db.execute("ROLLBACK")


def test_a_submitted_file_that_was_mended_is_failed_no_more(journal: Journal) -> None:
    journal.fail(journal.submit(Path("/desk/a.png"), PRINT), "damaged", message="no")
    journal.submit(Path("/desk/a.png"), Fingerprint(1, 2, 30, 40))
    assert journal.counts() == {"queued": 1, "running": 0, "done": 0, "failed": 0}


def test_one_failed_file_is_tried_again_or_all(journal: Journal) -> None:
    paths = [Path(f"/desk/{n}.png") for n in range(3)]
    for number, path in enumerate(paths):
        journal.fail(journal.submit(path, Fingerprint(1, number, 3, 4)), "damaged", message="no")
    assert journal.retry(paths[1]) == 1 and journal.counts()["failed"] == 2
    assert journal.retry(Path("/desk/other.png")) == 0
    assert journal.retry() == 2 and journal.counts()["queued"] == 3


def test_what_is_half_done_when_something_fails_is_not_done(journal: Journal) -> None:
    job = journal.submit(Path("/desk/a.png"), PRINT)
    journal.keep_page(job, reading(0))
    journal._db.execute(
        "CREATE TRIGGER no BEFORE DELETE ON pages BEGIN SELECT RAISE(ABORT, 'disk full'); END"
    )
    with pytest.raises(sqlite3.Error, match="disk full"):
        journal.finish(job)
    assert journal.counts()["queued"] == 1 and len(journal.pages(job)) == 1


def test_a_journal_of_the_version_before_keeps_its_jobs(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    kept = journal.submit(Path("/desk/a.png"), PRINT)
    journal._db.executescript(
        "DROP INDEX jobs_untold; ALTER TABLE jobs DROP COLUMN told; ALTER TABLE jobs DROP COLUMN sidecars;"
        "PRAGMA user_version = 2"
    )
    journal.close()
    again = Journal(tmp_path)
    found = again.job(kept)
    assert found is not None and found.path == Path("/desk/a.png")
    again.finish(kept, tell=True)
    assert again.next_untold() is not None


def test_a_journal_is_opened_while_another_process_writes(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal._db.execute("BEGIN IMMEDIATE")
    started = time.monotonic()
    Journal(tmp_path).close()
    assert time.monotonic() - started < 5  # it would have waited ten seconds for the lock
    journal._db.execute("ROLLBACK")


def test_both_forms_of_an_accented_name_are_one_file(journal: Journal) -> None:
    assert journal.add(INBOX / "caf\u00e9.png", INBOX, fingerprint=PRINT)
    assert journal.knows(INBOX / "cafe\u0301.png", PRINT)


def test_a_changed_file_is_a_new_job(journal: Journal) -> None:
    journal.add(INBOX / "a.png", INBOX, fingerprint=PRINT)
    assert journal.add(INBOX / "a.png", INBOX, fingerprint=Fingerprint(1, 2, 3, 5))


def test_what_was_running_runs_again_after_a_kill_and_keeps_its_pages(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.add(INBOX / "a.pdf", INBOX, fingerprint=PRINT)
    job = journal.take()
    assert job is not None
    journal.keep_page(job.id, reading(0))
    journal.close()
    again = Journal(tmp_path)
    assert again.take() is None
    assert again.requeue_interrupted() == 1
    taken = again.take()
    assert taken is not None and taken.id == job.id
    assert again.pages(job.id) == [reading(0)]


def test_a_handed_back_job_waits_for_its_time(tmp_path: Path) -> None:
    now = 100.0
    journal = Journal(tmp_path, clock=lambda: now)
    journal.add(INBOX / "a.png", INBOX, fingerprint=PRINT)
    job = journal.take()
    assert job is not None
    journal.hand_back(job.id, wait=30, crashed=True)
    assert journal.take() is None
    assert journal.next_due_in() == 30
    now = 131.0
    taken = journal.take()
    assert taken is not None and taken.crashes == 1


def test_a_failure_keeps_its_reason_and_its_sentence(journal: Journal) -> None:
    journal.add(INBOX / "a.png", INBOX, fingerprint=PRINT)
    job = journal.take()
    assert job is not None
    journal.fail(job.id, "damaged", message="a.png: broken")
    (failure,) = journal.failures()
    assert (failure.reason, failure.message) == ("damaged", "a.png: broken")
    assert journal.next_due_in() is None


def test_bytes_of_a_name_come_back_as_they_were(journal: Journal) -> None:
    name = os.fsdecode(b"/in/\xff\xfe.png")
    journal.add(Path(name), INBOX, fingerprint=PRINT)
    job = journal.take()
    assert job is not None and os.fsencode(job.path) == b"/in/\xff\xfe.png"


def test_an_inode_beyond_63_bits_is_kept(journal: Journal) -> None:
    large = Fingerprint(1, 2**64 - 5, 3, 4)
    assert journal.add(INBOX / "a.png", INBOX, fingerprint=large)
    assert journal.knows(INBOX / "a.png", large)


def test_a_broken_journal_is_named_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"not a database at all" * 100)
    with pytest.raises(ServiceError, match="move it away"):
        Journal(tmp_path)


def test_a_journal_from_a_newer_ocrd_is_not_touched(tmp_path: Path) -> None:
    Journal(tmp_path).close()
    db = sqlite3.connect(tmp_path / FILE)
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(ServiceError, match="99"):
        Journal(tmp_path)


def test_a_journal_from_before_is_made_anew(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / FILE)
    db.executescript("CREATE TABLE jobs (id TEXT, outputs TEXT); PRAGMA user_version = 1")
    db.close()
    journal = Journal(tmp_path)
    assert (
        journal.add(INBOX / "a.png", INBOX, fingerprint=PRINT) and journal.counts()["queued"] == 1
    )
    journal.close()


def test_a_new_version_of_a_failed_file_takes_the_failures_place(journal: Journal) -> None:
    journal.add(INBOX / "a.png", INBOX, fingerprint=PRINT)
    job = journal.take()
    assert job is not None
    journal.fail(job.id, "damaged", message="a.png: broken")
    journal.add(INBOX / "a.png", INBOX, fingerprint=Fingerprint(1, 2, 30, 40))
    assert journal.failures() == []
    assert journal.counts()["queued"] == 1


def test_a_new_journal_can_be_opened_by_many_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        for trial in range(10):
            folder = tmp_path / str(trial)
            folder.mkdir()
            journals = list(pool.map(Journal, [folder] * 8))
            assert [j.counts()["queued"] for j in journals] == [0] * 8
            for journal in journals:
                journal.close()
