"""Which files an inbox returns: real files and the real observer."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from pathlib import Path

import pytest

from ocrd.types import Fingerprint, StableFile
from tests.unit.inbox.box import SETTLE_S, Box, names


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


@pytest.mark.skipif(sys.platform == "darwin", reason="APFS refuses such names")
def test_a_name_that_is_not_utf_8_is_taken_and_keeps_its_bytes(box: Box) -> None:
    name = b"scan-\xff\xe9.png"
    (box.root / os.fsdecode(name)).write_bytes(b"x")
    (one,) = box.first()
    assert os.fsencode(one.path.name) == name


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
