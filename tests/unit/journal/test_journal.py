"""The journal keeps its promises."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from ocrd.errors import RefusalReason
from ocrd.journal import JobState, Journal
from ocrd.types import Fingerprint
from tests.unit.journal.samples import FINGERPRINT, reading

INBOX = Path("/in")


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path)


def test_a_file_is_queued_once_however_often_it_is_found(journal: Journal) -> None:
    assert journal.jobs.add(INBOX / "a.png", INBOX, fingerprint=FINGERPRINT)
    assert journal.jobs.add(INBOX / "a.png", INBOX, fingerprint=FINGERPRINT) is None
    assert journal.history.counts()["queued"] == 1


def test_a_done_or_failed_file_is_queued_again_when_it_is_submitted(
    journal: Journal,
) -> None:
    job = journal.jobs.submit(Path("/desk/a.png"), FINGERPRINT)
    assert (
        journal.jobs.submit(Path("/desk/a.png"), FINGERPRINT) == job
        and journal.history.counts()["queued"] == 1
    )
    taken = journal.jobs.take()
    assert taken is not None and taken.inbox is None
    assert (
        journal.jobs.submit(Path("/desk/a.png"), FINGERPRINT) == job
        and journal.history.counts()["running"] == 1
    )
    journal.jobs.fail(job, RefusalReason.CRASH, message="no", notify=True)
    assert journal.jobs.submit(Path("/desk/a.png"), FINGERPRINT) == job
    again = journal.jobs.take()
    assert again is not None and (again.attempts, again.crashes, again.reason) == (1, 0, None)
    assert journal.outbox.next_pending() is None  # its former end is forgotten
    journal.jobs.finish(job)
    assert (
        journal.jobs.submit(Path("/desk/a.png"), FINGERPRINT) == job
        and journal.history.counts()["queued"] == 1
    )


def test_a_job_that_waits_for_a_retry_is_due_when_its_file_is_submitted(tmp_path: Path) -> None:
    journal = Journal(tmp_path, clock=lambda: 100.0)
    job = journal.jobs.add(INBOX / "a.png", INBOX, fingerprint=FINGERPRINT)
    assert job and journal.jobs.take()
    journal.jobs.requeue(job, 600.0, message="not now")
    assert journal.jobs.next_due_in_s() == 600.0
    assert journal.jobs.submit(INBOX / "a.png", FINGERPRINT) == job
    assert journal.jobs.next_due_in_s() == 0.0
    taken = journal.jobs.take()
    assert taken is not None and taken.inbox == INBOX  # it stays in its inbox


def test_a_submitted_file_that_changed_keeps_its_job_and_loses_its_pages(journal: Journal) -> None:
    path = Path("/desk/a.png")
    other = Fingerprint(1, 2, 30, 40)
    job = journal.jobs.submit(path, FINGERPRINT)
    assert journal.jobs.take()
    journal.pages.save(job, reading(0))
    journal.jobs.requeue(job, message="trouble", crashed=True)
    journal.jobs.restart(job, path, fingerprint=other)
    found = journal.history.job(job)
    assert (
        found is not None
        and (found.state, found.fingerprint) == (JobState.QUEUED, other)
        and journal.pages.readings(job) == []
    )
    assert (found.attempts, found.crashes, found.message) == (
        0,
        0,
        None,
    )  # these are other contents
    second = journal.jobs.submit(
        path, FINGERPRINT
    )  # the old contents are back, with a job of their own
    journal.jobs.restart(job, path, fingerprint=FINGERPRINT)
    assert journal.history.job(job) is None
    latest = journal.history.latest(path, 0.0)
    assert latest is not None and latest.id == second
    assert (
        journal.history.latest(path, time.time() + 1) is None
    )  # an older job says nothing about a later submission


def test_the_outbox_has_each_end_once_and_in_order(tmp_path: Path) -> None:
    now = 0.0
    journal = Journal(tmp_path, clock=lambda: now)
    jobs = []
    for number in range(3):
        now = float(number)
        jobs.append(journal.jobs.submit(Path(f"/desk/{number}.png"), Fingerprint(1, number, 3, 4)))
        assert journal.jobs.take()
        journal.jobs.finish(jobs[-1], notify=number != 1)
    first = journal.outbox.next_pending()
    assert first is not None and first.id == jobs[0]
    journal.outbox.mark_notified(first)
    second = journal.outbox.next_pending()
    assert second is not None and second.id == jobs[2]
    now = 9.0
    journal.jobs.submit(Path("/desk/2.png"), Fingerprint(1, 2, 3, 4))
    assert journal.jobs.take()
    journal.jobs.fail(jobs[2], RefusalReason.CRASH, message="no", notify=True)
    journal.outbox.mark_notified(second)  # the former end: the new one is still pending
    third = journal.outbox.next_pending()
    assert third is not None and third.state == JobState.FAILED


def test_a_done_job_knows_its_sidecars(journal: Journal) -> None:
    job = journal.jobs.submit(Path("/desk/a.png"), FINGERPRINT)
    written = (Path("/desk/a.png-2.txt"), Path(os.fsdecode(b"/desk/z\xff.json")))
    journal.jobs.finish(job, sidecars=written)
    found = journal.history.job(job)
    assert found is not None and found.sidecars == written
    journal.jobs.submit(Path("/desk/a.png"), FINGERPRINT)
    again = journal.history.job(job)
    assert again is not None and again.sidecars == ()


def test_a_file_of_a_removed_inbox_is_read_as_a_submitted_one(journal: Journal) -> None:
    job = journal.jobs.add(INBOX / "a.png", INBOX, fingerprint=FINGERPRINT)
    assert job
    journal.jobs.finish(job)
    assert journal.jobs.submit(INBOX / "a.png", FINGERPRINT) == job
    taken = journal.jobs.take()
    assert taken is not None and taken.inbox is None


def test_new_contents_of_a_failed_file_replace_the_failure(journal: Journal) -> None:
    journal.jobs.fail(
        journal.jobs.submit(Path("/desk/a.png"), FINGERPRINT), RefusalReason.DAMAGED, message="no"
    )
    journal.jobs.submit(Path("/desk/a.png"), Fingerprint(1, 2, 30, 40))
    assert journal.history.counts() == {"queued": 1, "running": 0, "done": 0, "failed": 0}


def test_retry_queues_one_failed_file_or_all(journal: Journal) -> None:
    paths = [Path(f"/desk/{n}.png") for n in range(3)]
    for number, path in enumerate(paths):
        journal.jobs.fail(
            journal.jobs.submit(path, Fingerprint(1, number, 3, 4)),
            RefusalReason.DAMAGED,
            message="no",
        )
    assert journal.jobs.retry(paths[1]) == 1 and journal.history.counts()["failed"] == 2
    assert journal.jobs.retry(Path("/desk/other.png")) == 0
    assert journal.jobs.retry() == 2 and journal.history.counts()["queued"] == 3


def test_both_forms_of_an_accented_name_are_one_file(journal: Journal) -> None:
    assert journal.jobs.add(INBOX / "caf\u00e9.png", INBOX, fingerprint=FINGERPRINT)
    assert journal.jobs.is_known(INBOX / "cafe\u0301.png", FINGERPRINT)


def test_a_changed_file_is_a_new_job(journal: Journal) -> None:
    journal.jobs.add(INBOX / "a.png", INBOX, fingerprint=FINGERPRINT)
    assert journal.jobs.add(INBOX / "a.png", INBOX, fingerprint=Fingerprint(1, 2, 3, 5))


def test_a_job_that_a_kill_interrupted_is_queued_again_with_its_pages(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.jobs.add(INBOX / "a.pdf", INBOX, fingerprint=FINGERPRINT)
    job = journal.jobs.take()
    assert job is not None
    journal.pages.save(job.id, reading(0))
    journal.close()
    again = Journal(tmp_path)
    assert again.jobs.take() is None
    assert again.jobs.requeue_interrupted() == 1
    taken = again.jobs.take()
    assert taken is not None and taken.id == job.id
    assert again.pages.readings(job.id) == [reading(0)]


def test_a_requeued_job_waits_until_it_is_due(tmp_path: Path) -> None:
    now = 100.0
    journal = Journal(tmp_path, clock=lambda: now)
    journal.jobs.add(INBOX / "a.png", INBOX, fingerprint=FINGERPRINT)
    job = journal.jobs.take()
    assert job is not None
    journal.jobs.requeue(job.id, delay_s=30, crashed=True)
    assert journal.jobs.take() is None
    assert journal.jobs.next_due_in_s() == 30
    now = 131.0
    taken = journal.jobs.take()
    assert taken is not None and taken.crashes == 1


def test_a_failure_keeps_its_reason_and_its_sentence(journal: Journal) -> None:
    journal.jobs.add(INBOX / "a.png", INBOX, fingerprint=FINGERPRINT)
    job = journal.jobs.take()
    assert job is not None
    journal.jobs.fail(job.id, RefusalReason.DAMAGED, message="a.png: broken")
    (failure,) = journal.history.failures()
    assert (failure.reason, failure.message) == (RefusalReason.DAMAGED, "a.png: broken")
    assert journal.jobs.next_due_in_s() is None


def test_the_bytes_of_a_name_are_unchanged(journal: Journal) -> None:
    name = os.fsdecode(b"/in/\xff\xfe.png")
    journal.jobs.add(Path(name), INBOX, fingerprint=FINGERPRINT)
    job = journal.jobs.take()
    assert job is not None and os.fsencode(job.path) == b"/in/\xff\xfe.png"


def test_an_inode_beyond_63_bits_is_kept(journal: Journal) -> None:
    large = Fingerprint(1, 2**64 - 5, 3, 4)
    assert journal.jobs.add(INBOX / "a.png", INBOX, fingerprint=large)
    assert journal.jobs.is_known(INBOX / "a.png", large)
    taken = journal.jobs.take()
    assert taken is not None and taken.fingerprint == large


def test_new_contents_in_an_inbox_replace_the_failure(journal: Journal) -> None:
    journal.jobs.add(INBOX / "a.png", INBOX, fingerprint=FINGERPRINT)
    job = journal.jobs.take()
    assert job is not None
    journal.jobs.fail(job.id, RefusalReason.DAMAGED, message="a.png: broken")
    journal.jobs.add(INBOX / "a.png", INBOX, fingerprint=Fingerprint(1, 2, 30, 40))
    assert journal.history.failures() == []
    assert journal.history.counts()["queued"] == 1
