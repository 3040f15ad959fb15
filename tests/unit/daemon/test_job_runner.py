"""What becomes of a job, whatever the backend does; only the backend's answers are made up."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from ocrd.backends.base import MAX_CRASHES
from ocrd.daemon.outcome import UNFINISHED_S
from ocrd.errors import (
    BackendCrashed,
    BackendExhausted,
    JournalError,
    ReadDeferred,
    ReadRefused,
    RefusalReason,
)
from ocrd.read_protocol import ReadRequest
from ocrd.types import EncodedReading, Fallback
from tests.job_bench import JobBench, page, reads

DAMAGED = ReadRefused(RefusalReason.DAMAGED, "scan.png: it is damaged")


def test_a_lasting_refusal_fails_with_its_reason(bench: JobBench) -> None:
    bench.drop()
    message = "scan.png: it asks for a password"
    bench.run(reads(then=ReadRefused(RefusalReason.ENCRYPTED, message)))
    failure = bench.failure()
    assert (failure.reason, failure.message) == (RefusalReason.ENCRYPTED, message)


def test_a_file_that_is_broken_just_after_it_was_written_gets_a_second_try(
    bench: JobBench,
) -> None:
    bench.drop(age_s=0.5)
    bench.run(reads(then=DAMAGED))
    assert bench.counts() == {"queued": 1}
    assert bench.journal.jobs.next_due_in_s() == UNFINISHED_S
    bench.now += UNFINISHED_S
    bench.run()
    assert bench.counts() == {"failed": 1}


def test_a_file_that_changed_while_it_was_read_gets_no_sidecars_of_its_old_contents(
    bench: JobBench,
) -> None:
    path = bench.drop()

    def answer(_request: ReadRequest) -> Iterator[EncodedReading]:
        yield page(0)
        path.write_bytes(b"another picture")

    bench.run(answer)
    assert list(bench.inbox.iterdir()) == [path]
    assert bench.counts() == {} and bench.rescans == 1


def test_a_file_that_is_gone_leaves_nothing(bench: JobBench) -> None:
    bench.drop().unlink()
    bench.run(reads(page(0)))
    assert bench.backend.requests == [] and bench.counts() == {}


def test_retries_wait_longer_each_time(bench: JobBench) -> None:
    bench.drop()
    delays_s = []
    for _ in range(5):
        bench.run(reads(then=ReadDeferred("scan.png: Permission denied")))
        due_in_s = bench.journal.jobs.next_due_in_s()
        assert due_in_s is not None
        delays_s.append(due_in_s)
        bench.now += due_in_s
    assert delays_s == [5, 30, 120, 600, 600]


def test_a_job_that_waits_for_a_retry_says_why(bench: JobBench) -> None:
    bench.drop()
    bench.run(reads(then=ReadDeferred("scan.png: Permission denied")))
    (waiting,) = bench.journal.history.waiting_for_retry()
    assert waiting.message == "scan.png: Permission denied"


def test_sidecars_that_cannot_be_written_are_retried_without_reading_again(
    bench: JobBench,
) -> None:
    path = bench.drop()
    blocked = bench.folder / "out"
    blocked.write_text("a file where the folder should be")
    bench.configure({"output": str(blocked)})
    bench.run(reads(page(0)))
    assert bench.counts() == {"queued": 1}
    blocked.unlink()
    bench.now += 10
    bench.run(reads())
    assert bench.backend.first_pages == [0, 1]  # the first page is kept
    assert (blocked / "scan.png.txt").read_text() == "hello\n"
    assert path.read_bytes() == b"picture"


def test_a_worker_that_died_leaves_the_pages_that_it_read(bench: JobBench) -> None:
    bench.drop()
    bench.run(reads(page(0), then=BackendCrashed("signal 9")))
    assert bench.counts() == {"queued": 1}
    bench.run(reads(page(1)))
    assert bench.backend.first_pages == [0, 1]
    assert bench.counts() == {"done": 1}


@pytest.mark.parametrize("error", [BackendCrashed("signal 11"), ValueError("a fault of ours")])
def test_a_file_that_ends_every_worker_fails(bench: JobBench, error: Exception) -> None:
    bench.drop()
    for _ in range(MAX_CRASHES):
        bench.run(reads(then=error))
    failure = bench.failure()
    assert failure.reason == RefusalReason.CRASH
    assert "scan.png" in str(failure.message) and str(error) in str(failure.message)


def test_the_last_try_uses_only_the_cpu(bench: JobBench) -> None:
    bench.drop()
    for _ in range(MAX_CRASHES - 1):
        bench.run(reads(then=BackendCrashed("signal 11")))
    bench.run(reads(page(0)))
    assert bench.backend.cpu_only == [False, False, True]
    assert bench.counts() == {"done": 1}


def test_after_a_crash_a_document_is_read_page_by_page(bench: JobBench) -> None:
    """The number of pages in a batch may be what killed the worker."""
    bench.drop()
    bench.run(reads(then=BackendCrashed("signal 9")))
    bench.run(reads(page(0)))
    assert [request.page_by_page for request in bench.backend.requests] == [False, True]


def test_an_exhausted_worker_is_no_crash_and_the_next_one_knows(bench: JobBench) -> None:
    bench.drop()
    failure = Fallback(1, "mps-wedged", "no", "mps", "float32", "fresh-worker")
    bench.run(reads(page(0), then=BackendExhausted("page 2: mps-wedged on mps", (failure,))))
    job = bench.run(reads(page(1)))
    assert job.crashes == 0
    assert [request.in_new_worker for request in bench.backend.requests] == [False, True]
    assert bench.backend.first_pages == [0, 1] and bench.backend.cpu_only == [False, False]
    assert bench.counts() == {"done": 1}
    assert '"kind": "mps-wedged"' in (bench.inbox / "scan.png.json").read_text()


def test_workers_that_are_exhausted_one_after_another_end_on_the_cpu(bench: JobBench) -> None:
    bench.drop()
    error = BackendExhausted("the model cannot be moved to the CPU")
    for _ in range(4):
        bench.run(reads(then=error))
    assert bench.backend.cpu_only == [False, False, False, True]
    assert bench.counts() == {"failed": 1}


def test_a_stopping_daemon_queues_the_job_again_and_counts_no_crash(bench: JobBench) -> None:
    bench.drop()
    bench.stopping = True
    for _ in range(MAX_CRASHES + 1):
        bench.run(reads(then=BackendCrashed("the worker is being stopped")))
    assert bench.take().crashes == 0


def test_a_job_whose_inbox_left_the_configuration_says_so(bench: JobBench) -> None:
    bench.drop()
    bench.configure({"path": "/elsewhere"})
    bench.run(reads(page(0)))
    assert bench.failure().reason == RefusalReason.NO_INBOX


def test_a_name_that_is_not_utf8_fails_with_its_reason_like_any_other(bench: JobBench) -> None:
    try:
        path = bench.drop(os.fsdecode(b"z\xff.png"))
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    message = f"{path.name}: it is not a picture"
    bench.run(reads(then=ReadRefused(RefusalReason.UNSUPPORTED, message)))
    failure = bench.failure()
    assert failure.reason == RefusalReason.UNSUPPORTED
    assert "it is not a picture" in str(failure.message)


def test_a_file_that_is_still_in_icloud_waits_and_is_not_opened(
    bench: JobBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.drop()
    monkeypatch.setattr(
        "ocrd.daemon.job_runner.unavailable_reason", lambda _path: "still in iCloud"
    )
    bench.run(reads(page(0)))
    (waiting,) = bench.journal.history.waiting_for_retry()
    assert bench.backend.requests == [] and "still in iCloud" in str(waiting.message)


def test_a_pause_stops_after_the_page_and_the_document_continues_at_the_next(
    bench: JobBench,
) -> None:
    path = bench.drop()
    bench.wants_news = True
    bench.pauses = [False, True]
    bench.run(reads(page(0), page(1), page(2)))
    assert bench.counts() == {"queued": 1} and bench.wakeups == 0
    assert not path.with_name("scan.png.txt").exists()
    bench.run(reads(page(2)))
    assert bench.backend.first_pages == [0, 2] and bench.counts() == {"done": 1}
    assert path.with_name("scan.png.txt").read_text().count("hello") == 3


def test_an_error_of_the_journal_is_not_the_files_fault(
    bench: JobBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.drop()

    def locked(*_: object) -> None:
        raise JournalError("database is locked")

    monkeypatch.setattr(bench.journal.pages, "save", locked)
    with pytest.raises(JournalError):
        bench.run(reads(page(0)))
    assert bench.journal.jobs.requeue_interrupted() == 1
    assert bench.take().crashes == 0


def test_a_done_job_is_not_queued_again(bench: JobBench) -> None:
    bench.drop()
    job = bench.take()
    bench.journal.jobs.finish(job.id)
    bench.journal.jobs.requeue(job.id)
    assert bench.counts() == {"done": 1}


def test_a_file_from_the_future_is_not_taken_for_an_unfinished_one(bench: JobBench) -> None:
    path = bench.drop(age_s=-3600)
    assert path.stat().st_mtime > time.time()
    bench.run(reads(then=DAMAGED))
    assert bench.counts() == {"failed": 1}


def test_a_page_that_cannot_be_decoded_is_read_again(bench: JobBench) -> None:
    bench.drop()
    bench.run(reads(EncodedReading(0, '{"from": "another version"}')))
    assert bench.counts() == {"queued": 1}
    bench.run(reads(page(0)))
    assert bench.backend.first_pages == [0, 0] and bench.counts() == {"done": 1}
