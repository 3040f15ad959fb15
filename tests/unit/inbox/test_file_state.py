"""The state of one file: is it deleted, complete, available, being copied?"""

from __future__ import annotations

import math
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from ocrd.inbox import file_state
from ocrd.inbox.file_state import (
    COPY_BIRTH_TIME_QUIET_S,
    EMPTY_QUIET_S,
    FINDER_COPY_QUIET_S,
    FileState,
    classify,
    is_deleted,
    remaining_settle_s,
    stat_file,
    unavailable_reason,
)
from ocrd.types import Fingerprint


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "desk/a.png"
    path.parent.mkdir()
    path.write_bytes(b"picture")
    return path


def test_a_file_counts_as_deleted_only_while_its_folder_exists(path: Path) -> None:
    known = stat_file(path).fingerprint
    assert known is not None and not is_deleted(path, known)
    path.parent.rename(path.parent.with_name("away"))
    assert not is_deleted(path, known)  # the disk is not mounted
    path.parent.mkdir()
    assert is_deleted(path, known)
    assert not is_deleted(
        path, replace(known, device=known.device + 1)
    )  # an empty folder where it should be
    assert not is_deleted(path.parent / "a\0b.png", known) and not is_deleted(
        Path("/etc/passwd/a.png"), known
    )


def test_the_last_change_of_any_kind_starts_the_settle_time(path: Path) -> None:
    now = path.stat().st_ctime
    os.utime(path, (0, 0))  # as a copy that preserves its times does
    now = path.stat().st_ctime
    assert remaining_settle_s(path, 2.0, now=now + 0.5) == pytest.approx(1.5)
    assert remaining_settle_s(path, 2.0, now=now + 2.0) == 0.0
    assert remaining_settle_s(path, 0.0, now=now) == 0.0
    assert (
        remaining_settle_s(path, 2.0, now=now - 100.0) == 0.0
    )  # the clock of a server that is ahead is ignored
    assert remaining_settle_s(path.with_name("gone"), 2.0, now=now) == 0.0


def test_a_submitted_file_needs_the_same_quiet_time_as_one_in_an_inbox(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(b"")
    now = path.stat().st_ctime
    assert remaining_settle_s(path, 2.0, now=now) == EMPTY_QUIET_S
    seen = FileState(Fingerprint(1, 2, 3, 4), "being copied by Finder", FINDER_COPY_QUIET_S)
    monkeypatch.setattr(file_state, "stat_file", lambda _path: seen)
    assert (
        remaining_settle_s(path, 2.0, now=now + 100) == FINDER_COPY_QUIET_S - 100
        and unavailable_reason(path) is None
    )
    cloud = FileState(Fingerprint(1, 2, 3, 4), "still in iCloud", float("inf"))
    monkeypatch.setattr(file_state, "stat_file", lambda _path: cloud)
    assert remaining_settle_s(path, 2.0, now=now) == 2.0  # reported by unavailable_reason instead
    assert str(unavailable_reason(path)).startswith("still in iCloud")


def status(size: int = 10, **extra: float) -> os.stat_result:
    return cast(
        "os.stat_result", SimpleNamespace(st_dev=1, st_ino=2, st_size=size, st_mtime_ns=3, **extra)
    )


def test_a_plain_file_has_a_fingerprint(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(b"12345")
    found = file.stat()
    seen = stat_file(file)
    assert seen.fingerprint == Fingerprint(found.st_dev, found.st_ino, 5, found.st_mtime_ns)
    assert seen.required_quiet_s == 0


def test_links_pipes_folders_and_absent_files_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "real.png").write_bytes(b"x")
    (tmp_path / "link.png").symlink_to("real.png")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    for name in ("link.png", "pipe.png", "folder.png", "absent.png", "real.png/below.png"):
        seen = stat_file(tmp_path / name)
        assert seen.fingerprint is None
        assert seen.reason


def test_a_file_in_icloud_is_never_stable() -> None:
    assert classify(status(st_flags=0x40000000), b"").required_quiet_s == math.inf
    assert classify(status(st_flags=0x20), b"").required_quiet_s == 0


def test_a_file_that_finder_is_copying_waits_longer(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"x")
    assert (
        stat_file(tmp_path / "a.png", lambda path: b"brokMACS" + bytes(24)).required_quiet_s
        == FINDER_COPY_QUIET_S
    )
    assert stat_file(tmp_path / "a.png", lambda path: b"PNGfogle" + bytes(24)).required_quiet_s == 0


@pytest.mark.parametrize(
    "born", [datetime(1946, 2, 14, 8, 34, 56), datetime(1970, 1, 1), datetime(1984, 1, 24, 8)]
)
def test_a_file_with_the_birth_time_of_a_running_copy_waits_longer(born: datetime) -> None:
    assert (
        classify(status(st_birthtime=born.replace(tzinfo=UTC).timestamp()), b"").required_quiet_s
        == COPY_BIRTH_TIME_QUIET_S
    )


@pytest.mark.parametrize("born", [datetime(1983, 6, 1), datetime(1984, 2, 1), datetime(2024, 5, 5)])
def test_other_birth_times_need_no_longer_wait(born: datetime) -> None:
    assert (
        classify(status(st_birthtime=born.replace(tzinfo=UTC).timestamp()), b"").required_quiet_s
        == 0
    )
