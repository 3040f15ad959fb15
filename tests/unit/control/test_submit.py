"""How a job's end is told, and what is different for files that were submitted where they lie."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from ocrd.config import parse_config
from ocrd.daemon.job_runner import TRIES_OUT_OF_REACH, JobRunner
from ocrd.inbox.file_state import stat_file
from ocrd.types import Fingerprint
from ocrd.worker.messages import Request
from ocrd.worker.process import Refused, Transient
from tests.unit.daemon.test_job_runner import Answer, Bench, ScriptedWorker, page, reads


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.journal.close()


def print_of(path: Path) -> Fingerprint:
    seen = stat_file(path).fingerprint
    assert seen is not None
    return seen


class Ends:
    """A reader for submitted and dropped files, and everything that is said of their ends."""

    def __init__(self, bench: Bench, answer: Answer, *, pauses: Sequence[bool] = ()) -> None:
        self.bench = bench
        self.worker = ScriptedWorker(answer)
        self.told: list[int] = []
        self.want = True
        pausing = iter(pauses)
        self.reader = JobRunner(
            bench.config,
            bench.journal,
            worker=self.worker,  # type: ignore[arg-type]
            stopping=lambda: False,
            look_again=bench._rescan,
            pausing=lambda: next(pausing, False),
            wanted=lambda _job, _read: self.want,
            tell=lambda: self.told.append(1),
        )

    def handle(self) -> None:
        self.reader.handle(self.bench.take())


def test_an_end_is_told_with_the_sidecars_that_were_written_for_it(bench: Bench) -> None:
    path = bench.drop()
    ends = Ends(bench, reads(page(0)))
    ends.handle()
    first = bench.journal.next_untold()
    assert ends.told == [1] and first is not None
    assert first.sidecars == (path.with_name("scan.png.txt"), path.with_name("scan.png.json"))
    path.with_name("scan.png.txt").write_text(
        "edited"
    )  # the user's now: the next set gets a number
    path.write_bytes(b"another picture")
    seen = print_of(path)
    bench.journal.mark_told(first)
    bench.journal.add(path, bench.inbox, fingerprint=seen)
    ends.handle()
    second = bench.journal.next_untold()
    assert second is not None
    assert second.sidecars == (path.with_name("scan.png-2.txt"), path.with_name("scan.png-2.json"))


def test_a_failure_that_nobody_asked_about_is_told_to_nobody(bench: Bench) -> None:
    bench.drop()
    ends = Ends(
        bench, reads(then=Refused("damaged", "scan.png: it is damaged", error="DamagedDocument"))
    )
    ends.want = False
    ends.handle()
    assert (
        ends.told == [] and bench.journal.next_untold() is None and bench.counts() == {"failed": 1}
    )


def test_a_set_that_was_there_is_told_of_only_if_this_journal_wrote_it(bench: Bench) -> None:
    path = bench.drop()
    ends = Ends(bench, reads(page(0)))
    ends.handle()
    first = bench.journal.next_untold()
    assert first is not None
    bench.journal.mark_told(first)
    seen = print_of(path)
    time.sleep(0.15)  # the inbox's settle time
    bench.journal.submit(path, seen)
    ends.handle()
    assert ends.worker.asked == [0] and ends.told == [1, 1]
    bench.journal._run("DELETE FROM outputs")  # as a lost journal
    bench.journal.submit(path, seen)
    ends.handle()
    assert ends.told == [1, 1] and bench.counts() == {"done": 1}


def test_a_pause_ends_a_document_behind_its_page_and_it_goes_on_at_the_next(bench: Bench) -> None:
    path = bench.drop()
    ends = Ends(bench, reads(page(0), page(1), page(2)), pauses=[False, True])
    ends.handle()
    assert (
        bench.counts() == {"queued": 1}
        and ends.told == []
        and not path.with_name("scan.png.txt").exists()
    )
    ends.worker.answer = reads(page(2))
    ends.handle()
    assert ends.worker.asked == [0, 2] and bench.counts() == {"done": 1}
    assert path.with_name("scan.png.txt").read_text().count("hello") == 3


def test_a_submitted_file_that_changed_while_it_was_read_is_read_anew(bench: Bench) -> None:
    path = bench.inbox.parent / "desk.png"
    path.write_bytes(b"picture")
    seen = print_of(path)
    job = bench.journal.submit(path, seen)

    def changes(_request: Request) -> Iterator[dict[str, Any]]:
        yield page(0)
        path.write_bytes(b"another picture")

    ends = Ends(bench, changes)
    ends.handle()
    assert bench.counts() == {"queued": 1} and bench.journal.pages(job) == [] and bench.rescans == 0
    ends.worker.answer = reads(page(0, "new"))
    ends.handle()
    assert path.with_name("desk.png.txt").read_text() == "new\n" and ends.worker.asked == [0, 0]


def test_submitted_files_are_read_together_only_where_their_rules_are_the_same(
    bench: Bench,
) -> None:
    table = {
        "inbox": [{"path": str(bench.inbox), "task": "markdown"}],
        "submit": {"task": "text", "settle": 0},
    }
    bench.config = parse_config(table, "test")
    places = [bench.inbox.parent / "1.png", bench.inbox / "2.png", bench.inbox.parent / "3.png"]
    for number, path in enumerate(places):
        path.write_bytes(b"picture" * (number + 1))
        seen = stat_file(path).fingerprint
        assert seen is not None
        bench.now += 1
        bench.journal.submit(path, seen)
    ends = Ends(bench, reads(page(0)))
    ends.reader._last_ready = ends.worker.start()
    first = bench.take()
    assert [job.path.name for job in ends.reader.companions(first)] == ["3.png"]


def test_what_is_still_in_icloud_waits_and_is_not_opened(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.drop()
    monkeypatch.setattr(
        "ocrd.daemon.job_runner.unavailable_reason",
        lambda _path: "still in iCloud; it is read later",
    )
    ends = Ends(bench, reads(page(0)))
    ends.handle()
    (waiting,) = bench.journal.waiting()
    assert ends.worker.asked == [] and "still in iCloud" in str(waiting.message)


def submitted(bench: Bench, path: Path) -> str:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"picture")
    seen = print_of(path)
    return bench.journal.submit(path, seen)


@pytest.mark.parametrize("when", ["before", "between pages", "at its end"])
def test_a_submitted_file_on_a_disk_that_went_away_is_kept_and_read_when_it_is_back(
    bench: Bench, when: str
) -> None:
    desk = bench.inbox.parent / "desk"
    away = bench.inbox.parent / "away"
    submitted(bench, desk / "a.png")

    def unmounts(_request: Request) -> Iterator[dict[str, Any]]:
        yield page(0)
        desk.rename(away)
        if when == "between pages":
            raise Transient("a.png: Input/output error")

    ends = Ends(bench, unmounts)
    if when == "before":
        desk.rename(away)
    ends.handle()
    assert bench.counts() == {"queued": 1}
    (waiting,) = bench.journal.waiting()
    assert "a.png" in str(waiting.message)
    bench.now += 10
    away.rename(desk)
    ends.worker.answer = reads(page(0))
    ends.handle()
    assert (desk / "a.png.txt").exists() and bench.counts() == {"done": 1}


def test_one_that_stays_away_for_a_day_is_failed_and_said_so(bench: Bench) -> None:
    desk = bench.inbox.parent / "desk"
    job = submitted(bench, desk / "a.png")
    desk.rename(bench.inbox.parent / "away")
    ends = Ends(bench, reads())
    for _ in range(TRIES_OUT_OF_REACH):
        assert bench.counts() == {"queued": 1}
        ends.handle()
        bench.now += 600
    failed = bench.journal.job(job)
    assert (
        failed is not None
        and failed.reason == "unreachable"
        and "ocrd retry" in str(failed.message)
    )


def test_a_submitted_file_that_was_taken_away_is_forgotten(bench: Bench) -> None:
    path = bench.inbox.parent / "desk/a.png"
    submitted(bench, path)
    path.unlink()
    Ends(bench, reads()).handle()
    assert bench.counts() == {}


def test_half_a_file_that_is_still_being_written_is_no_failure(bench: Bench) -> None:
    """Submitted while a scanner writes: it changes, then looks broken, and was written just now."""
    path = bench.inbox.parent / "desk/a.png"
    submitted(bench, path)
    path.write_bytes(b"half a picture")
    ends = Ends(
        bench, reads(then=Refused("damaged", "a.png: it is damaged", error="DamagedDocument"))
    )
    ends.handle()
    ends.handle()
    assert bench.counts() == {"queued": 1} and ends.worker.asked == [0]


def test_an_inbox_behind_a_link_gives_its_rules_to_what_was_submitted_in_it(bench: Bench) -> None:
    real = bench.inbox.parent / "big disk"
    link = bench.inbox.parent / "linked"
    (real / "deep").mkdir(parents=True)
    link.symlink_to(real)
    out = bench.inbox.parent / "out"
    table = {
        "inbox": [{"path": str(link), "formats": ["md"], "output": str(out), "settle": 0.1}],
        "submit": {"formats": ["txt"], "settle": 0},
    }
    bench.config = parse_config(table, "test")
    submitted(bench, real / "deep/a.png")
    time.sleep(0.15)
    Ends(bench, reads(page(0))).handle()
    assert (out / "deep/a.png.md").exists() and not (real / "deep/a.png.txt").exists()


def test_a_submitted_file_that_was_written_just_now_is_looked_at_again_before_it_is_read(
    bench: Bench,
) -> None:
    bench.config = parse_config(
        {"inbox": [{"path": str(bench.inbox)}], "submit": {"settle": 30.0}}, "test"
    )
    job = submitted(bench, bench.inbox.parent / "desk/a.png")
    ends = Ends(bench, reads(page(0)))
    ends.handle()
    due = bench.journal.next_due_in()
    assert ends.worker.asked == [] and due is not None and 29 < due <= 30
    found = bench.journal.job(job)
    assert found is not None and (found.attempts, found.message) == (0, None)  # that was no try


def test_one_that_never_stops_changing_holds_up_nobody(bench: Bench) -> None:
    hot = bench.inbox.parent / "desk/hot.png"
    submitted(bench, hot)
    submitted(bench, bench.inbox.parent / "desk/b.png")

    def grows(request: Request) -> Iterator[dict[str, Any]]:
        yield page(0)
        if request.file == hot:
            hot.write_bytes(hot.read_bytes() + b"more")

    ends = Ends(bench, grows)
    read = 0
    while bench.counts().get("done") != 1:
        bench.now += 0.1
        ends.handle()
        read += 1
    assert read <= 2


def test_an_empty_folder_where_a_disk_should_be_is_not_the_files_end(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = bench.inbox.parent / "desk/a.png"
    job = submitted(bench, path)
    path.unlink()
    bench.journal._run(
        "UPDATE jobs SET device = device + 1 WHERE id = ?", job
    )  # its disk was another one
    Ends(bench, reads()).handle()
    assert bench.counts() == {"queued": 1}


def test_trouble_with_the_journal_is_not_the_files_fault(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.drop()

    def locked(*_: object) -> None:
        raise sqlite3.OperationalError("database is locked")

    ends = Ends(bench, reads(page(0)))
    monkeypatch.setattr(bench.journal, "keep_page", locked)
    with pytest.raises(sqlite3.OperationalError):
        ends.handle()
    assert bench.journal.requeue_interrupted() == 1
    job = bench.journal.take()
    assert job is not None and job.crashes == 0


def test_a_submitted_file_in_an_inbox_settles_as_the_inbox_says(bench: Bench) -> None:
    inbox = {"path": str(bench.inbox), "settle": 50.0}
    bench.config = parse_config({"inbox": [inbox], "submit": {"settle": 0}}, "test")
    submitted(bench, bench.inbox / "a.png")
    Ends(bench, reads()).handle()
    due = bench.journal.next_due_in()
    assert due is not None and 49 < due <= 50


def test_a_disk_with_another_number_after_a_restart_tells_nobody_again(bench: Bench) -> None:
    """As a Mac's disks may have; each file is then a new one to the inbox, and its set is there."""
    path = bench.drop()
    ends = Ends(bench, reads(page(0)))
    ends.handle()
    first = bench.journal.next_untold()
    assert first is not None
    bench.journal._run("UPDATE jobs SET device = device + 1")
    seen = print_of(path)
    bench.journal.add(path, bench.inbox, fingerprint=seen)
    ends.handle()
    untold = bench.journal.next_untold()
    assert untold is not None and untold.id == first.id
    bench.journal.mark_told(first)
    bench.journal._run("UPDATE jobs SET device = device + 1")
    bench.journal.add(path, bench.inbox, fingerprint=seen)
    ends.handle()
    assert bench.journal.next_untold() is None
    assert bench.counts() == {"done": 1}  # and the journal does not grow with each restart


def test_a_new_picture_of_the_same_name_is_news(bench: Bench) -> None:
    path = bench.drop()
    ends = Ends(bench, reads(page(0)))
    ends.handle()
    first = bench.journal.next_untold()
    assert first is not None
    bench.journal.mark_told(first)
    path.write_bytes(b"another picture")
    seen = print_of(path)
    bench.journal.add(path, bench.inbox, fingerprint=seen)
    ends.handle()
    assert bench.journal.next_untold() is not None
