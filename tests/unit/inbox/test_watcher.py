"""The folder is watched whatever happens to it, and a quiet inbox sleeps."""

from __future__ import annotations

import errno
import os
import threading
import time
from pathlib import Path

import pytest
from watchdog.events import FileCreatedEvent
from watchdog.observers.api import BaseObserver
from watchdog.observers.polling import PollingObserver

from ocrd.inbox.watcher import FolderWatcher
from tests.unit.inbox.box import Box, names

pytestmark = pytest.mark.slow


def test_a_root_that_is_deleted_and_created_again_is_watched_again(box: Box) -> None:
    box.root.rmdir()
    assert box.run(0.4) == []
    assert not box.root.exists()
    assert 0 < box.inbox.next_poll_in_s(time.monotonic()) <= 5
    box.root.mkdir()
    (box.root / "a.png").write_bytes(b"x")
    assert names(box.first()) == ["a.png"]
    (box.root / "b.png").write_bytes(b"x")
    assert names(box.first()) == ["b.png"]


def test_a_missing_root_is_waited_for_without_many_polls(tmp_path: Path, boxes: list[Box]) -> None:
    boxes.append(Box(tmp_path / "later"))
    box = boxes[0].ready()
    box.run(1.0)
    assert box.polls < 8
    (tmp_path / "later").mkdir()
    (tmp_path / "later" / "a.png").write_bytes(b"x")
    assert names(box.first()) == ["a.png"]


def test_a_root_that_is_replaced_by_another_folder_is_noticed(box: Box, tmp_path: Path) -> None:
    box.root.rename(tmp_path / "old")
    box.root.mkdir()
    (box.root / "a.png").write_bytes(b"x")
    box.wake.set()
    assert names(box.first()) == ["a.png"]


def test_a_dead_emitter_is_noticed_and_replaced_and_nothing_is_missed(box: Box) -> None:
    observer = box.inbox._watcher._observer
    assert observer is not None
    for emitter in observer.emitters:
        emitter.stop()
        emitter.join(2)
    assert observer.is_alive()
    assert not box.inbox._watcher.is_healthy()
    (box.root / "a.png").write_bytes(b"x")
    box.wake.set()
    assert names(box.first()) == ["a.png"]
    assert box.inbox._watcher.is_healthy()
    (box.root / "b.png").write_bytes(b"x")
    assert names(box.first()) == ["b.png"]


def test_the_next_rescan_finds_a_file_whose_event_was_lost(root: Path, boxes: list[Box]) -> None:
    boxes.append(Box(root, rescan_interval_s=0.5))
    box = boxes[0].ready()
    (root / "a.png").write_bytes(b"x")
    time.sleep(0.2)
    box.inbox._watcher.drain()
    box.wake.clear()
    assert names(box.first(3.0)) == ["a.png"]


def test_an_idle_inbox_sleeps(box: Box) -> None:
    box.run(0.3)
    before = box.polls
    box.run(1.0)
    assert box.polls - before <= 1
    assert box.inbox.next_poll_in_s(time.monotonic()) > 5


def test_a_busy_writer_does_not_keep_the_daemon_awake(box: Box) -> None:
    def write() -> None:
        with (box.root / "a.png").open("wb") as file:
            for _ in range(400):
                file.write(b"x")
                file.flush()
                time.sleep(0.002)

    writer = threading.Thread(target=write)
    writer.start()
    assert names(box.first()) == ["a.png"]
    writer.join()
    assert box.polls < 40


def test_when_inotify_has_no_more_watches_the_folder_is_polled(root: Path) -> None:
    def exhausted() -> BaseObserver:
        raise OSError(errno.EMFILE, "inotify instance limit reached")

    watch = FolderWatcher(
        root,
        recursive=True,
        wake=threading.Event(),
        make_observer=exhausted,
        make_fallback=lambda: PollingObserver(timeout=0.1),
    )
    watch.restart()
    try:
        assert watch.is_healthy()
        (root / "a.png").write_bytes(b"x")
        hints: set[Path] = set()
        end = time.monotonic() + 3
        while not hints and time.monotonic() < end:
            time.sleep(0.05)
            hints = watch.drain()
        assert root / "a.png" in hints
    finally:
        watch.stop()
    assert not watch.is_healthy()


def test_an_event_that_cannot_be_understood_is_counted_and_ends_no_thread(root: Path) -> None:
    wake = threading.Event()
    watch = FolderWatcher(root, recursive=True, wake=wake)
    watch._hints.dispatch(FileCreatedEvent(src_path=None))  # type: ignore[arg-type]
    watch._hints.dispatch(FileCreatedEvent(src_path=b"/inbox/\xff.png"))
    assert watch.bad_events == 1
    assert wake.is_set()
    assert watch.drain() == {Path(os.fsdecode(b"/inbox/\xff.png"))}
