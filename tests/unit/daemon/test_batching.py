"""Small pictures that are queued are read together, and each has an outcome of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ocrd.errors import (
    BackendCrashed,
    BackendExhausted,
    BatchFailed,
    JournalError,
    ReadDeferred,
    ReadRefused,
    RefusalReason,
)
from ocrd.read_protocol import ReadRequest
from ocrd.types import EncodedReading
from tests.job_bench import Answer, JobBench, page, reads


def drop_all(bench: JobBench, *names: str) -> None:
    bench.backend.start()
    for name in names or ("a.png", "b.jpg", "c.webp", "d.png"):
        bench.drop(name, data=f"picture {name}".encode())
        bench.now += 1


def run_next(bench: JobBench, answer: Answer | None = None) -> list[str]:
    """As the daemon's loop does; returns the names that are read together."""
    if answer is not None:
        bench.backend.answer = answer
    job = bench.take()
    companions = bench.runner.companions(job)
    if companions:
        bench.runner.run_together([job, *companions])
    else:
        bench.runner.run(job)
    return [each.path.name for each in (job, *companions)]


def test_small_pictures_that_are_queued_are_read_together(bench: JobBench) -> None:
    drop_all(bench)
    bench.backend.answer = lambda request: iter([page(0, f"says {request.path.name}")])
    assert [run_next(bench), run_next(bench)] == [["a.png", "b.jpg", "c.webp"], ["d.png"]]
    assert bench.backend.together == [["a.png", "b.jpg", "c.webp"]]
    for name in ("a.png", "b.jpg", "c.webp", "d.png"):
        assert (bench.inbox / f"{name}.txt").read_text() == f"says {name}\n"
    assert bench.counts() == {"done": 4}


def test_documents_of_many_pages_and_large_pictures_are_read_alone(
    bench: JobBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop_all(bench, "a.png", "b.pdf", "c.tif", "d.png")
    monkeypatch.setattr("ocrd.daemon.batching.MAX_PICTURE_BYTES", len(b"picture d.png") - 1)
    read = [run_next(bench, reads(page(0))) for _ in range(4)]
    assert read == [["a.png"], ["b.pdf"], ["c.tif"], ["d.png"]]
    assert bench.backend.together == []


def test_the_refusal_of_one_picture_does_not_affect_the_others(bench: JobBench) -> None:
    def answer(request: ReadRequest) -> Iterator[EncodedReading]:
        if request.path.name == "b.jpg":
            raise ReadRefused(RefusalReason.OVERSIZED, "b.jpg: too large")
        if request.path.name == "c.webp":
            raise ReadDeferred("c.webp: stale file handle")
        yield page(0)

    drop_all(bench)
    run_next(bench, answer)
    assert bench.counts() == {"done": 1, "failed": 1, "queued": 2}
    assert bench.failure().message == "b.jpg: too large"
    waiting = bench.journal.history.waiting_for_retry()
    assert [job.message for job in waiting] == ["c.webp: stale file handle"]


@pytest.mark.parametrize(
    "error",
    [
        BackendCrashed("signal 11"),
        BackendExhausted("wedged"),
        BatchFailed("odd"),
        ValueError("?"),
    ],
)
def test_a_batch_that_fails_is_read_one_by_one_and_no_picture_is_blamed(
    bench: JobBench, error: Exception
) -> None:
    def answer(request: ReadRequest) -> Iterator[EncodedReading]:
        if request.path.name == "b.jpg" and not bench.backend.requests:
            raise error
        yield page(0)

    drop_all(bench)
    assert run_next(bench, answer) == ["a.png", "b.jpg", "c.webp"]
    assert bench.counts() == {"done": 1, "queued": 3}  # a.png was read before
    assert [run_next(bench) for _ in range(3)] == [["b.jpg"], ["c.webp"], ["d.png"]]
    assert bench.counts() == {"done": 4} and bench.backend.cpu_only == [False] * 3


def test_an_error_of_the_journal_blames_no_picture(
    bench: JobBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop_all(bench)

    def locked(*_: object) -> None:
        raise JournalError("database is locked")

    monkeypatch.setattr(bench.journal.pages, "save", locked)
    with pytest.raises(JournalError):
        run_next(bench, reads(page(0)))
    monkeypatch.undo()
    assert bench.journal.jobs.requeue_interrupted() == 3
    assert run_next(bench) == ["a.png", "b.jpg", "c.webp"]  # still together
    assert bench.counts() == {"done": 3, "queued": 1}


def test_a_picture_that_vanished_is_dropped_and_the_others_are_read(bench: JobBench) -> None:
    drop_all(bench)
    (bench.inbox / "b.jpg").unlink()
    run_next(bench, reads(page(0)))
    assert bench.counts() == {"done": 2, "queued": 1}


def test_one_picture_that_remains_of_several_is_read_alone(bench: JobBench) -> None:
    drop_all(bench, "a.png", "b.jpg")
    (bench.inbox / "b.jpg").unlink()
    run_next(bench, reads(page(0)))
    assert bench.backend.together == [] and bench.backend.first_pages == [0]
    assert bench.counts() == {"done": 1}


def test_submitted_files_are_read_together_only_where_their_policy_is_the_same(
    bench: JobBench,
) -> None:
    bench.configure({"task": "markdown"}, submit={"task": "text", "settle": 0})
    bench.backend.start()
    for path in (bench.folder / "1.png", bench.inbox / "2.png", bench.folder / "3.png"):
        bench.now += 1
        bench.submit(path, data=path.name.encode())
    companions = bench.runner.companions(bench.take())
    assert [job.path.name for job in companions] == ["3.png"]
