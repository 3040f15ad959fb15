"""Which files an inbox returns: real files and the real observer."""

from __future__ import annotations

import errno
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from watchdog.events import FileCreatedEvent
from watchdog.observers.api import BaseObserver
from watchdog.observers.polling import PollingObserver

from ocrd.inbox.inbox import Inbox
from ocrd.inbox.walk import path_on_disk
from ocrd.inbox.watcher import FolderWatcher
from ocrd.types import Fingerprint, StableFile

SUFFIXES = frozenset({".png", ".pdf"})
SETTLE_S = 0.2


class Box:
    """An inbox with a loop like the daemon's, which sleeps until the event is set."""

    def __init__(
        self,
        root: Path,
        *,
        recursive: bool = True,
        settle_s: float = SETTLE_S,
        rescan_interval_s: float = 300.0,
    ) -> None:
        self.root = root
        self.wake = threading.Event()
        self.known: set[Fingerprint] = set()
        self.polls = 0
        self.inbox = Inbox(
            root,
            SUFFIXES,
            settle_s=settle_s,
            recursive=recursive,
            is_known=lambda _path, fingerprint: fingerprint in self.known,
            wake=self.wake,
            rescan_interval_s=rescan_interval_s,
        )

    def run(
        self, seconds: float, until: Callable[[list[StableFile]], bool] = lambda found: False
    ) -> list[StableFile]:
        found: list[StableFile] = []
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end:
            self.polls += 1
            found += self.inbox.poll(now)
            if until(found):
                break
            now = time.monotonic()
            self.wake.wait(min(self.inbox.next_poll_in_s(now), max(0.0, end - now)))
            self.wake.clear()
        return found

    def first(self, seconds: float = 5.0) -> list[StableFile]:
        return self.run(seconds, bool)

    def ready(self) -> Box:
        self.inbox.start()
        assert self.run(0.05) == []
        return self


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "inbox").mkdir()
    return tmp_path / "inbox"


@pytest.fixture
def boxes() -> Iterator[list[Box]]:
    made: list[Box] = []
    yield made
    for box in made:
        box.inbox.stop()


@pytest.fixture
def box(root: Path, boxes: list[Box]) -> Box:
    boxes.append(Box(root))
    return boxes[0].ready()


def names(found: list[StableFile]) -> list[str]:
    return [one.path.name for one in found]


def test_a_copied_file_is_taken_with_its_fingerprint(box: Box, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"picture")
    os.utime(tmp_path / "a.png", (1, 1))
    shutil.copy2(tmp_path / "a.png", box.root)
    (one,) = box.first()
    status = (box.root / "a.png").stat()
    assert one == StableFile(
        box.root / "a.png",
        Fingerprint(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns),
    )


def test_a_file_moved_in_is_taken_after_the_settle_time_despite_its_old_date(
    box: Box, tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(b"picture")
    os.utime(tmp_path / "a.png", (1, 1))
    began = time.monotonic()
    (tmp_path / "a.png").rename(box.root / "a.png")
    assert names(box.first()) == ["a.png"]
    assert time.monotonic() - began >= SETTLE_S


def test_an_atomic_save_by_rename_is_taken_once_under_its_final_name(box: Box) -> None:
    (box.root / "a.png.tmp").write_bytes(b"picture")
    (box.root / "a.png.tmp").rename(box.root / "a.png")
    assert names(box.run(0.7)) == ["a.png"]


def test_a_file_still_growing_is_not_taken(box: Box) -> None:
    def write() -> None:
        with (box.root / "a.png").open("wb") as file:
            for _ in range(8):
                file.write(b"x" * 100)
                file.flush()
                time.sleep(0.1)

    writer = threading.Thread(target=write)
    writer.start()
    found = box.first()
    writer.join()
    assert [one.fingerprint.size for one in found] == [800]
    assert box.run(0.4) == []


def test_a_file_that_is_reopened_within_the_settle_time_is_taken_once(
    root: Path, boxes: list[Box]
) -> None:
    boxes.append(Box(root, settle_s=0.6))
    box = boxes[0].ready()
    (root / "a.pdf").write_bytes(b"first half")
    assert box.run(0.4) == []
    with (root / "a.pdf").open("ab") as file:
        file.write(b" second half")
    assert [one.fingerprint.size for one in box.first()] == [22]


def test_files_that_existed_before_the_start_are_taken(root: Path, boxes: list[Box]) -> None:
    (root / "deep" / "er").mkdir(parents=True)
    (root / "a.png").write_bytes(b"x")
    (root / "deep" / "er" / "b.png").write_bytes(b"x")
    boxes.append(Box(root))
    assert sorted(names(boxes[0].ready().run(0.5))) == ["a.png", "b.png"]


def test_a_folder_that_is_moved_in_is_walked_but_not_the_bundles_in_it(
    box: Box, tmp_path: Path
) -> None:
    for folder in ("new/deep", "new/Fotos.photoslibrary", "new/.hidden"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "a.png").write_bytes(b"x")
    (tmp_path / "new").rename(box.root / "new")
    assert [one.path for one in box.run(0.7)] == [box.root / "new/deep/a.png"]


def test_sub_folders_are_ignored_when_not_recursive(
    root: Path, boxes: list[Box], tmp_path: Path
) -> None:
    boxes.append(Box(root, recursive=False))
    box = boxes[0].ready()
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "a.png").write_bytes(b"x")
    (tmp_path / "new").rename(root / "new")
    (root / "new" / "b.png").write_bytes(b"x")
    (root / "c.png").write_bytes(b"x")
    box.inbox.request_rescan()
    assert names(box.run(0.5)) == ["c.png"]


def test_links_pipes_hidden_and_temporary_files_are_never_taken(box: Box, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.png").write_bytes(b"x")
    (box.root / "link.png").symlink_to(tmp_path / "outside" / "secret.png")
    (box.root / "folder").symlink_to(tmp_path / "outside")
    os.mkfifo(box.root / "pipe.png")
    for name in (
        ".a.png",
        "._a.png",
        "~$a.pdf",
        "a.png.part",
        ".ocrd-a.png",
        "a.png.txt",
        "a.png.json",
        "empty.png",
    ):
        (box.root / name).write_bytes(b"" if name == "empty.png" else b"x")
    (box.root / "z.png").write_bytes(b"x")
    box.inbox.request_rescan()
    assert names(box.run(0.5)) == ["z.png"]


def test_a_hint_through_a_linked_folder_is_ignored(root: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.png").write_bytes(b"x")
    (root / "folder").symlink_to(tmp_path / "outside")
    assert path_on_disk(root, ("folder", "secret.png")) is None
    assert path_on_disk(root, ("..", "outside", "secret.png")) is None


def test_a_name_is_found_in_the_form_that_the_disk_has(root: Path) -> None:
    (root / "e\u0301.png").write_bytes(b"x")
    assert path_on_disk(root, ("\u00e9.png",)) == root / "e\u0301.png"
    (root / "\u00e9.png").write_bytes(b"y")
    assert path_on_disk(root, ("\u00e9.png",)) == root / "\u00e9.png"


@pytest.mark.skipif(sys.platform == "darwin", reason="APFS refuses such names")
def test_a_name_that_is_not_utf_8_is_taken_and_keeps_its_bytes(box: Box) -> None:
    name = b"scan-\xff\xe9.png"
    (box.root / os.fsdecode(name)).write_bytes(b"x")
    (one,) = box.first()
    assert os.fsencode(one.path.name) == name


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


def test_a_file_is_returned_once_for_one_fingerprint(box: Box) -> None:
    (box.root / "a.png").write_bytes(b"x")
    assert names(box.first()) == ["a.png"]
    (box.root / "a.png").chmod(0o600)
    box.inbox.request_rescan()
    assert box.run(0.4) == []


def test_a_changed_file_is_taken_again(box: Box) -> None:
    (box.root / "a.png").write_bytes(b"x")
    (first,) = box.first()
    (box.root / "a.png").write_bytes(b"longer")
    (second,) = box.first()
    assert second.path == first.path
    assert second.fingerprint != first.fingerprint


def test_a_file_that_the_journal_knows_is_not_taken_again_after_a_restart(
    root: Path, boxes: list[Box]
) -> None:
    (root / "a.png").write_bytes(b"x")
    status = (root / "a.png").stat()
    boxes.append(Box(root))
    boxes[0].known.add(
        Fingerprint(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    )
    assert boxes[0].ready().run(0.5) == []


def test_a_forgotten_file_is_taken_once_more(box: Box) -> None:
    (box.root / "a.png").write_bytes(b"x")
    (first,) = box.first()
    box.inbox.forget(first.path)
    assert box.first() == [first]


def test_hard_links_are_two_files(box: Box) -> None:
    (box.root / "a.png").write_bytes(b"x")
    os.link(box.root / "a.png", box.root / "b.png")
    assert sorted(names(box.run(0.5))) == ["a.png", "b.png"]


def test_a_journal_that_fails_loses_no_file(root: Path, boxes: list[Box]) -> None:
    def broken(path: Path, fingerprint: Fingerprint) -> bool:
        raise OSError("disk full")

    (root / "a.png").write_bytes(b"x")
    boxes.append(Box(root))
    box = boxes[0]
    works = box.inbox._is_known
    box.inbox._is_known = broken
    box.inbox.start()
    with pytest.raises(OSError, match="disk full"):
        box.inbox.poll(time.monotonic())
    box.inbox._is_known = works
    assert names(box.first()) == ["a.png"]


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
