"""What is different for files that were submitted where they are, and when an end is news."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ocrd.daemon.outcome import MAX_TRIES_OUT_OF_REACH
from ocrd.errors import ReadDeferred, ReadRefused, RefusalReason
from ocrd.journal import Job
from ocrd.read_protocol import ReadRequest
from ocrd.types import EncodedReading
from tests.job_bench import JobBench, fingerprint, page, reads


def take_news(bench: JobBench) -> Job:
    """The oldest job in the outbox, which is then notified of."""
    job = bench.journal.outbox.next_pending()
    assert job is not None
    bench.journal.outbox.mark_notified(job)
    return job


def test_the_outbox_has_the_sidecars_that_were_written(bench: JobBench) -> None:
    bench.wants_news = True
    path = bench.drop()
    bench.run(reads(page(0)))
    first = take_news(bench)
    assert bench.wakeups == 1
    assert first.sidecars == (path.with_name("scan.png.txt"), path.with_name("scan.png.json"))
    path.with_name("scan.png.txt").write_text("edited")  # the user's: the next set gets a number
    bench.drop(data=b"another picture")
    bench.run()
    numbered = (path.with_name("scan.png-2.txt"), path.with_name("scan.png-2.json"))
    assert take_news(bench).sidecars == numbered


def test_a_failure_that_nobody_wants_to_know_is_not_news(bench: JobBench) -> None:
    bench.drop()
    bench.run(reads(then=ReadRefused(RefusalReason.DAMAGED, "scan.png: it is damaged")))
    assert bench.wakeups == 0 and bench.journal.outbox.next_pending() is None
    assert bench.counts() == {"failed": 1}


def test_a_set_that_exists_is_news_only_if_this_journal_wrote_it(bench: JobBench) -> None:
    bench.wants_news = True
    path = bench.drop()
    bench.run(reads(page(0)))
    take_news(bench)
    time.sleep(0.15)  # the inbox's settle time
    bench.journal.jobs.submit(path, fingerprint(path))
    bench.run()
    assert bench.backend.first_pages == [0] and bench.wakeups == 2
    bench.sql("DELETE FROM outputs")  # as in a new journal
    bench.journal.jobs.submit(path, fingerprint(path))
    bench.run()
    assert bench.wakeups == 2 and bench.counts() == {"done": 1}


def test_a_new_picture_of_the_same_name_is_news(bench: JobBench) -> None:
    bench.wants_news = True
    bench.drop()
    bench.run(reads(page(0)))
    take_news(bench)
    bench.drop(data=b"another picture")
    bench.run()
    assert bench.journal.outbox.next_pending() is not None


def test_a_disk_with_another_device_number_after_a_restart_is_not_news(bench: JobBench) -> None:
    """A Mac's disks may do that: each file is new to the inbox, and its set exists."""
    bench.wants_news = True
    path = bench.drop()
    bench.run(reads(page(0)))
    first = bench.journal.outbox.next_pending()
    assert first is not None
    bench.sql("UPDATE jobs SET device = device + 1")
    bench.journal.jobs.add(path, bench.inbox, fingerprint=fingerprint(path))
    bench.run()
    assert take_news(bench).id == first.id
    bench.sql("UPDATE jobs SET device = device + 1")
    bench.journal.jobs.add(path, bench.inbox, fingerprint=fingerprint(path))
    bench.run()
    assert bench.journal.outbox.next_pending() is None
    assert bench.counts() == {"done": 1}  # the journal does not grow with each restart


def test_a_submitted_file_that_changed_while_it_was_read_is_read_again(bench: JobBench) -> None:
    path = bench.folder / "desk.png"
    job = bench.submit(path)

    def changes(_request: ReadRequest) -> Iterator[EncodedReading]:
        yield page(0)
        path.write_bytes(b"another picture")

    bench.run(changes)
    assert bench.counts() == {"queued": 1} and bench.rescans == 0
    assert bench.journal.pages.readings(job) == []
    bench.run(reads(page(0, "new")))
    assert path.with_name("desk.png.txt").read_text() == "new\n"
    assert bench.backend.first_pages == [0, 0]


@pytest.mark.parametrize("when", ["before", "between pages", "at its end"])
def test_a_submitted_file_whose_disk_is_away_is_kept_and_read_when_it_is_back(
    bench: JobBench, when: str
) -> None:
    desk = bench.folder / "desk"
    away = bench.folder / "away"
    bench.submit(desk / "a.png")

    def unmounts(_request: ReadRequest) -> Iterator[EncodedReading]:
        yield page(0)
        desk.rename(away)
        if when == "between pages":
            raise ReadDeferred("a.png: Input/output error")

    if when == "before":
        desk.rename(away)
    bench.run(unmounts)
    assert bench.counts() == {"queued": 1}
    (waiting,) = bench.journal.history.waiting_for_retry()
    assert "a.png" in str(waiting.message)
    bench.now += 10
    away.rename(desk)
    bench.run(reads(page(0)))
    assert (desk / "a.png.txt").exists() and bench.counts() == {"done": 1}


def test_a_submitted_file_that_is_out_of_reach_for_a_day_fails(bench: JobBench) -> None:
    desk = bench.folder / "desk"
    job = bench.submit(desk / "a.png")
    desk.rename(bench.folder / "away")
    for _ in range(MAX_TRIES_OUT_OF_REACH):
        assert bench.counts() == {"queued": 1}
        bench.run()
        bench.now += 600
    failed = bench.journal.history.job(job)
    assert failed is not None and failed.reason == RefusalReason.UNREACHABLE
    assert "ocrd retry" in str(failed.message)


def test_a_submitted_file_that_was_removed_is_forgotten(bench: JobBench) -> None:
    path = bench.folder / "desk/a.png"
    bench.submit(path)
    path.unlink()
    bench.run()
    assert bench.counts() == {}


def test_an_empty_folder_where_a_disk_should_be_is_not_the_files_end(bench: JobBench) -> None:
    path = bench.folder / "desk/a.png"
    job = bench.submit(path)
    path.unlink()
    bench.sql("UPDATE jobs SET device = device + 1 WHERE id = ?", job)  # it was on another disk
    bench.run()
    assert bench.counts() == {"queued": 1}


def test_half_of_a_file_that_is_still_being_written_is_not_a_failure(bench: JobBench) -> None:
    """Submitted while a scanner writes: it changes, then it looks broken and is seconds old."""
    path = bench.folder / "desk/a.png"
    bench.submit(path)
    path.write_bytes(b"half a picture")
    damaged = ReadRefused(RefusalReason.DAMAGED, "a.png: it is damaged")
    bench.run(reads(then=damaged))
    bench.run()
    assert bench.counts() == {"queued": 1} and bench.backend.first_pages == [0]


def test_a_file_that_never_stops_changing_does_not_delay_the_others(bench: JobBench) -> None:
    hot = bench.folder / "desk/hot.png"
    bench.submit(hot)
    bench.submit(bench.folder / "desk/b.png")

    def grows(request: ReadRequest) -> Iterator[EncodedReading]:
        yield page(0)
        if request.path == hot:
            hot.write_bytes(hot.read_bytes() + b"more")

    runs = 0
    while bench.counts().get("done") != 1:
        bench.now += 0.1
        bench.run(grows)
        runs += 1
    assert runs <= 2


def test_a_submitted_file_that_was_just_written_waits_until_it_is_stable(bench: JobBench) -> None:
    bench.configure({}, submit={"settle": 30.0})
    job = bench.submit(bench.folder / "desk/a.png")
    bench.run(reads(page(0)))
    due_in_s = bench.journal.jobs.next_due_in_s()
    assert bench.backend.requests == []
    assert due_in_s is not None and 29 < due_in_s <= 30
    found = bench.journal.history.job(job)
    assert found is not None and (found.attempts, found.message) == (0, None)  # not an attempt


def test_a_submitted_file_in_an_inbox_settles_as_the_inbox_says(bench: JobBench) -> None:
    bench.configure({"settle": 50.0}, submit={"settle": 0})
    bench.submit(bench.inbox / "a.png")
    bench.run()
    due_in_s = bench.journal.jobs.next_due_in_s()
    assert due_in_s is not None and 49 < due_in_s <= 50


def test_an_inbox_behind_a_link_gives_its_policy_to_files_submitted_in_it(
    bench: JobBench,
) -> None:
    real = bench.folder / "big disk"
    link = bench.folder / "linked"
    real.mkdir()
    link.symlink_to(real)
    out = bench.folder / "out"
    inbox = {"path": str(link), "formats": ["md"], "output": str(out), "settle": 0.1}
    bench.configure(inbox, submit={"formats": ["txt"], "settle": 0})
    bench.submit(real / "deep/a.png")
    time.sleep(0.15)
    bench.run(reads(page(0)))
    assert (out / "deep/a.png.md").exists() and not Path(real / "deep/a.png.txt").exists()
