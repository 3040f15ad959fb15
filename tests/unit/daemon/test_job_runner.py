"""What becomes of a job, whatever the worker does: only the worker's answers are made up here."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from ocrd.config import parse_config
from ocrd.daemon.job_runner import CRASHES_ALLOWED, STILL_WRITING, JobRunner
from ocrd.errors import OcrdError
from ocrd.files import hash_bytes
from ocrd.inbox.file_state import stat_file
from ocrd.journal import Job, Journal
from ocrd.types import Block, PageReading
from ocrd.worker.messages import Request
from ocrd.worker.process import ReadApart, Ready, Refused, Transient, WorkerDied, WorkerRetired

Answer = Callable[[Request], Iterator[dict[str, Any]]]


class ScriptedWorker:
    """Answers as it is told; counts from which page it was asked."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[int] = []
        self.on_cpu: list[bool] = []
        self.fresh: list[bool] = []
        self.together: list[list[str]] = []
        self.alone: list[bool] = []

    def start(self, *, on_cpu: bool = False) -> Ready:
        return Ready(
            "cpu", "float32", "native", "2", "5", {"repo": "a/b", "revision": None}, batch=3
        )

    def read_together(self, requests: Sequence[Request]) -> Iterator[dict[str, Any]]:
        self.together.append([request.file.name for request in requests])
        for request in requests:
            for message in self.answer(request):
                yield {"job": request.job, **message}
                if message["event"] == "page":
                    yield {"job": request.job, "event": "finished"}

    def read(self, request: Request, *, on_cpu: bool = False) -> Iterator[dict[str, Any]]:
        self.asked.append(request.start)
        self.on_cpu.append(on_cpu)
        self.fresh.append(request.fresh)
        self.alone.append(request.alone)
        return self.answer(request)


def page(index: int, text: str = "hello") -> dict[str, Any]:
    reading = PageReading(index, 10, 10, text, (Block(text, page=index),), 1, "eos", 0.1, "native")
    return {"event": "page", "reading": asdict(reading)}


class Bench:
    def __init__(self, folder: Path) -> None:
        self.inbox = folder / "in"
        self.inbox.mkdir()
        self.now = 1000.0
        self.journal = Journal(folder, clock=lambda: self.now)
        self.stopping = False
        self.rescans = 0
        table = {
            "model": {"path": "pocket"},
            "inbox": [{"path": str(self.inbox), "settle": 0.1}],
            "submit": {"settle": 0},
        }
        self.config = parse_config(table, "test")

    def drop(self, age: float = 3600.0) -> Path:
        path = self.inbox / "scan.png"
        path.write_bytes(b"picture")
        os.utime(path, (time.time() - age, time.time() - age))
        seen = stat_file(path).fingerprint
        assert seen is not None
        assert self.journal.add(path, self.inbox, fingerprint=seen)
        return path

    def handle(self, answer: Answer) -> ScriptedWorker:
        worker = ScriptedWorker(answer)
        reader = JobRunner(
            self.config,
            self.journal,
            worker=worker,  # type: ignore[arg-type]
            stopping=lambda: self.stopping,
            look_again=self._rescan,
        )
        reader.handle(self.take())
        return worker

    def take(self) -> Job:
        job = self.journal.take()
        assert job is not None
        return job

    def _rescan(self) -> None:
        self.rescans += 1

    def counts(self) -> dict[str, int]:
        return {state: n for state, n in self.journal.counts().items() if n}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.journal.close()


def reads(*pages: dict[str, Any], then: OcrdError | Exception | None = None) -> Answer:
    def answer(_request: Request) -> Iterator[dict[str, Any]]:
        yield from pages
        if then is not None:
            raise then

    return answer


def test_a_reading_ends_as_a_set_of_sidecars(bench: Bench) -> None:
    path = bench.drop()
    bench.handle(reads(page(0), page(1)))
    assert path.with_name("scan.png.txt").read_text() == "hello\n\fhello\n"
    assert bench.counts() == {"done": 1}


def test_a_lasting_refusal_fails_with_its_reason(bench: Bench) -> None:
    bench.drop()
    bench.handle(
        reads(
            then=Refused("encrypted", "scan.png: it asks for a password", error="EncryptedDocument")
        )
    )
    (failure,) = bench.journal.failures()
    assert (failure.reason, failure.message) == ("encrypted", "scan.png: it asks for a password")


def test_what_looks_broken_just_after_it_was_written_is_looked_at_once_more(bench: Bench) -> None:
    bench.drop(age=0.5)
    damaged = reads(then=Refused("damaged", "scan.png: it is damaged", error="DamagedDocument"))
    bench.handle(damaged)
    assert bench.counts() == {"queued": 1}
    assert bench.journal.next_due_in() == STILL_WRITING
    bench.now += STILL_WRITING
    bench.handle(damaged)
    assert bench.counts() == {"failed": 1}


def test_a_file_that_changed_while_it_was_read_gets_no_sidecars_of_its_old_self(
    bench: Bench,
) -> None:
    path = bench.drop()

    def answer(_request: Request) -> Iterator[dict[str, Any]]:
        yield page(0)
        path.write_bytes(b"another picture")

    bench.handle(answer)
    assert sorted(p.name for p in bench.inbox.iterdir()) == ["scan.png"]
    assert bench.counts() == {} and bench.rescans == 1


def test_a_file_that_is_gone_leaves_nothing_behind(bench: Bench) -> None:
    bench.drop().unlink()
    worker = bench.handle(reads(page(0)))
    assert worker.asked == [] and bench.counts() == {}


def test_passing_trouble_waits_longer_each_time(bench: Bench) -> None:
    bench.drop()
    waits = []
    for _ in range(5):
        bench.handle(reads(then=Transient("scan.png: Permission denied")))
        due = bench.journal.next_due_in()
        assert due is not None
        waits.append(due)
        bench.now += due
    assert waits == [5, 30, 120, 600, 600]


def test_sidecars_that_cannot_be_written_are_tried_again_without_reading_again(
    bench: Bench,
) -> None:
    path = bench.drop()
    blocked = bench.inbox.parent / "out"
    blocked.write_text("a file where the folder should be")
    table = {
        "model": {"path": "pocket"},
        "inbox": [{"path": str(bench.inbox), "output": str(blocked)}],
    }
    bench.config = parse_config(table, "test")
    bench.handle(reads(page(0)))
    assert bench.counts() == {"queued": 1}
    blocked.unlink()
    bench.now += 10
    worker = bench.handle(reads())
    assert worker.asked == [1]  # from the second page on: the first is kept
    assert (blocked / "scan.png.txt").read_text() == "hello\n"
    assert path.read_bytes() == b"picture"


def test_a_dead_worker_leaves_the_pages_that_it_read(bench: Bench) -> None:
    bench.drop()
    bench.handle(reads(page(0), then=WorkerDied("signal 9")))
    assert bench.counts() == {"queued": 1}
    worker = bench.handle(reads(page(1)))
    assert worker.asked == [1]
    assert bench.counts() == {"done": 1}


@pytest.mark.parametrize("fault", [WorkerDied("signal 11"), ValueError("a fault of ours")])
def test_a_file_that_keeps_ending_workers_is_failed(bench: Bench, fault: Exception) -> None:
    bench.drop()
    for _ in range(CRASHES_ALLOWED):
        bench.handle(reads(then=fault))
    (failure,) = bench.journal.failures()
    assert failure.reason == "crash"
    assert "scan.png" in str(failure.message) and str(fault) in str(failure.message)


def test_the_last_try_is_on_the_cpu_alone(bench: Bench) -> None:
    bench.drop()
    tried = [
        bench.handle(reads(then=WorkerDied("signal 11"))).on_cpu for _ in range(CRASHES_ALLOWED - 1)
    ]
    assert tried == [[False], [False]]
    assert bench.handle(reads(page(0))).on_cpu == [True]
    assert bench.counts() == {"done": 1}


def test_a_worker_that_is_used_up_counts_no_crash_and_the_next_one_knows(bench: Bench) -> None:
    bench.drop()
    worker = ScriptedWorker(reads(page(0), then=WorkerRetired("page 2: mps-wedged on mps")))
    reader = JobRunner(
        bench.config,
        bench.journal,
        worker=worker,  # type: ignore[arg-type]
        stopping=lambda: False,
        look_again=lambda: None,
    )
    reader.handle(bench.take())
    worker.answer = reads(page(1))
    job = bench.take()
    reader.handle(job)
    assert job.crashes == 0
    assert (worker.asked, worker.fresh, worker.on_cpu) == ([0, 1], [False, True], [False, False])
    assert bench.counts() == {"done": 1}


def test_workers_that_are_used_up_one_after_another_end_on_the_cpu(bench: Bench) -> None:
    bench.drop()
    worker = ScriptedWorker(reads(then=WorkerRetired("the model cannot be brought to the CPU")))
    reader = JobRunner(
        bench.config,
        bench.journal,
        worker=worker,  # type: ignore[arg-type]
        stopping=lambda: False,
        look_again=lambda: None,
    )
    for _ in range(4):
        reader.handle(bench.take())
    assert worker.on_cpu == [False, False, False, True] and bench.counts() == {"failed": 1}


def test_a_stop_hands_the_job_back_and_counts_no_crash(bench: Bench) -> None:
    bench.drop()
    bench.stopping = True
    for _ in range(CRASHES_ALLOWED + 1):
        bench.handle(reads(then=WorkerDied("it was being stopped")))
    assert bench.take().crashes == 0


def test_what_a_killed_run_wrote_is_ours_to_finish(bench: Bench) -> None:
    path = bench.drop()

    def killed(_request: Request) -> Iterator[dict[str, Any]]:
        yield page(0)

    bench.handle(killed)
    path.with_name("scan.png.json").unlink()  # as if the kill had come before the last file
    seen = stat_file(path).fingerprint
    assert seen is not None
    bench.journal.drop(bench_job(bench))
    assert bench.journal.add(path, bench.inbox, fingerprint=seen)
    bench.handle(reads(page(0)))
    assert sorted(p.name for p in bench.inbox.iterdir()) == [
        "scan.png",
        "scan.png.json",
        "scan.png.txt",
    ]


def bench_job(bench: Bench) -> str:
    return str(bench.journal._run("SELECT id FROM jobs")[0]["id"])


def test_a_job_whose_inbox_left_the_configuration_says_so(bench: Bench) -> None:
    bench.drop()
    table = {"model": {"path": "pocket"}, "inbox": [{"path": "/elsewhere"}]}
    bench.config = parse_config(table, "test")
    bench.handle(reads(page(0)))
    (failure,) = bench.journal.failures()
    assert failure.reason == "no-inbox"


def read_again(bench: Bench, text: str, *, data: bytes) -> None:
    """The picture is replaced by another, which is read as ``text``."""
    path = bench.inbox / "scan.png"
    path.write_bytes(data)
    os.utime(path, (time.time() - 3600, time.time() - 3600))
    seen = stat_file(path).fingerprint
    assert seen is not None and bench.journal.add(path, bench.inbox, fingerprint=seen)
    bench.handle(reads(page(0, text)))


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.name != "scan.png")


def test_a_picture_that_changed_has_its_set_replaced(bench: Bench) -> None:
    bench.drop()
    bench.handle(reads(page(0)))
    read_again(bench, "other", data=b"another picture")
    assert names(bench.inbox) == ["scan.png.json", "scan.png.txt"]
    assert (bench.inbox / "scan.png.txt").read_text() == "other\n"


@pytest.mark.parametrize("edited", ["scan.png.txt", "scan.png.json"])
def test_a_sidecar_that_its_owner_edited_stays_and_the_new_set_gets_a_number(
    bench: Bench, edited: str
) -> None:
    bench.drop()
    bench.handle(reads(page(0)))
    path = bench.inbox / edited
    mine = path.read_text().replace("hello", "hullo")
    path.write_text(mine)
    read_again(bench, "other", data=b"another picture")
    assert path.read_text() == mine
    assert (bench.inbox / "scan.png-2.txt").read_text() == "other\n"


def test_text_alone_is_known_as_ours_too(bench: Bench) -> None:
    table = {"model": {"path": "pocket"}, "inbox": [{"path": str(bench.inbox), "formats": ["txt"]}]}
    bench.config = parse_config(table, "test")
    bench.drop()
    bench.handle(reads(page(0)))
    read_again(bench, "other", data=b"another picture")
    assert names(bench.inbox) == ["scan.png.txt"]


def test_two_inboxes_with_one_output_folder_do_not_take_each_others_sets(bench: Bench) -> None:
    out = bench.inbox.parent / "out"
    second = bench.inbox.parent / "in2"
    second.mkdir()
    table = {
        "model": {"path": "pocket"},
        "inbox": [{"path": str(folder), "output": str(out)} for folder in (bench.inbox, second)],
    }
    bench.config = parse_config(table, "test")
    bench.drop()
    bench.handle(reads(page(0, "first")))
    (second / "scan.png").write_bytes(b"another picture")
    seen = stat_file(second / "scan.png").fingerprint
    assert seen is not None and bench.journal.add(second / "scan.png", second, fingerprint=seen)
    bench.handle(reads(page(0, "second")))
    assert (out / "scan.png.txt").read_text() == "first\n"
    assert (out / "scan.png-2.txt").read_text() == "second\n"


def test_a_set_that_a_kill_left_half_replaced_is_replaced_whole(bench: Bench) -> None:
    path = bench.drop()
    bench.handle(reads(page(0)))
    # The next picture's set was planned and its first file written; then came the kill, and a third
    # picture.
    text = path.with_name("scan.png.txt")
    bench.journal.plan_outputs(path, {text: hash_bytes(b"second\n")})
    text.write_bytes(b"second\n")
    read_again(bench, "third", data=b"a third picture")
    assert names(bench.inbox) == ["scan.png.json", "scan.png.txt"]
    assert text.read_text() == "third\n"


def test_a_name_that_is_no_utf8_fails_with_its_reason_like_any_other(bench: Bench) -> None:
    path = bench.inbox / os.fsdecode(b"z\xff.png")
    try:
        path.write_bytes(b"junk")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    os.utime(path, (0, 0))
    seen = stat_file(path).fingerprint
    assert seen is not None and bench.journal.add(path, bench.inbox, fingerprint=seen)
    bench.handle(
        reads(
            then=Refused(
                "unsupported", f"{path.name}: it is not a picture", error="UnsupportedDocument"
            )
        )
    )
    (failure,) = bench.journal.failures()
    assert failure.reason == "unsupported" and "it is not a picture" in str(failure.message)


def test_what_waits_for_another_try_says_why(bench: Bench) -> None:
    bench.drop()
    bench.handle(reads(then=Transient("scan.png: Permission denied")))
    (waiting,) = bench.journal.waiting()
    assert waiting.message == "scan.png: Permission denied"


class Crowd:
    """Several pictures in the queue, and a reader that has a worker which reads three at once."""

    def __init__(
        self,
        bench: Bench,
        answer: Answer,
        *,
        names: Sequence[str] = ("a.png", "b.jpg", "c.webp", "d.png"),
    ) -> None:
        self.bench = bench
        self.worker = ScriptedWorker(answer)
        self.reader = JobRunner(
            bench.config,
            bench.journal,
            worker=self.worker,  # type: ignore[arg-type]
            stopping=lambda: bench.stopping,
            look_again=bench._rescan,
        )
        self.reader._last_ready = self.worker.start()
        for name in names:
            path = bench.inbox / name
            path.write_bytes(f"picture {name}".encode())
            os.utime(path, (time.time() - 3600, time.time() - 3600))
            seen = stat_file(path).fingerprint
            assert seen is not None and bench.journal.add(path, bench.inbox, fingerprint=seen)
            bench.now += 1

    def take(self) -> list[str]:
        """As the daemon's loop does: the names of what is read at once."""
        job = self.bench.take()
        others = self.reader.companions(job)
        if others:
            self.reader.handle_together([job, *others])
        else:
            self.reader.handle(job)
        return [each.path.name for each in (job, *others)]

    def text_of(self, name: str) -> str:
        return (self.bench.inbox / f"{name}.txt").read_text()


def test_small_pictures_that_wait_are_read_together(bench: Bench) -> None:
    crowd = Crowd(bench, lambda request: iter([page(0, f"says {request.file.name}")]))
    assert [crowd.take(), crowd.take()] == [["a.png", "b.jpg", "c.webp"], ["d.png"]]
    assert crowd.worker.together == [["a.png", "b.jpg", "c.webp"]]
    assert [crowd.text_of(name) for name in ("a.png", "b.jpg", "c.webp", "d.png")] == [
        "says a.png\n", "says b.jpg\n", "says c.webp\n", "says d.png\n",
    ]  # fmt: skip
    assert bench.counts() == {"done": 4}


def test_documents_of_many_pages_and_large_pictures_are_read_by_themselves(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    crowd = Crowd(bench, reads(page(0)), names=["a.png", "b.pdf", "c.tif", "d.png"])
    monkeypatch.setattr("ocrd.daemon.job_runner.SMALL", len(b"picture d.png") - 1)
    assert [crowd.take() for _ in range(4)] == [["a.png"], ["b.pdf"], ["c.tif"], ["d.png"]]
    assert crowd.worker.together == []


def test_what_one_picture_is_refused_for_is_no_matter_of_the_others(bench: Bench) -> None:
    def answer(request: Request) -> Iterator[dict[str, Any]]:
        if request.file.name == "b.jpg":
            yield {
                "event": "refused",
                "reason": "oversized",
                "message": "b.jpg: too large",
                "error": "OversizedDocument",
            }
        elif request.file.name == "c.webp":
            yield {"event": "transient", "message": "c.webp: stale file handle"}
        else:
            yield page(0)

    crowd = Crowd(bench, answer)
    crowd.take()
    assert bench.counts() == {"done": 1, "failed": 1, "queued": 2}
    assert [job.message for job in bench.journal.failures()] == ["b.jpg: too large"]
    assert [job.message for job in bench.journal.waiting()] == ["c.webp: stale file handle"]


@pytest.mark.parametrize(
    "error", [WorkerDied("signal 11"), WorkerRetired("wedged"), ReadApart("odd"), ValueError("?")]
)
def test_a_batch_that_comes_to_nothing_is_read_one_by_one_and_no_picture_is_blamed(
    bench: Bench, error: Exception
) -> None:
    def answer(request: Request) -> Iterator[dict[str, Any]]:
        if request.file.name == "b.jpg" and not crowd.worker.asked:
            raise error
        yield page(0)

    crowd = Crowd(bench, answer)
    assert crowd.take() == ["a.png", "b.jpg", "c.webp"]
    assert bench.counts() == {"done": 1, "queued": 3}  # a.png was there before it
    assert [crowd.take() for _ in range(3)] == [["b.jpg"], ["c.webp"], ["d.png"]]
    assert bench.counts() == {"done": 4} and crowd.worker.on_cpu == [False] * 3


def test_a_picture_that_vanished_meanwhile_is_dropped_and_the_others_are_read(bench: Bench) -> None:
    crowd = Crowd(bench, reads(page(0)))
    (bench.inbox / "b.jpg").unlink()
    crowd.take()
    assert bench.counts() == {"done": 2, "queued": 1}


def test_after_a_death_a_document_is_read_page_by_page(bench: Bench) -> None:
    """What killed the worker may be the number of pages at once."""
    bench.drop()
    first = bench.handle(reads(then=WorkerDied("signal 9")))
    second = bench.handle(reads(page(0)))
    assert (first.alone, second.alone) == ([False], [True]) and bench.counts() == {"done": 1}


def test_one_picture_that_is_left_of_several_is_read_as_ever(bench: Bench) -> None:
    crowd = Crowd(bench, reads(page(0)), names=("a.png", "b.jpg"))
    (bench.inbox / "b.jpg").unlink()
    crowd.take()
    assert (
        crowd.worker.together == [] and crowd.worker.asked == [0] and bench.counts() == {"done": 1}
    )


def test_a_job_that_is_concluded_is_not_handed_back(bench: Bench) -> None:
    bench.drop()
    job = bench.take()
    bench.journal.finish(job.id)
    bench.journal.hand_back(job.id)
    assert bench.counts() == {"done": 1}
