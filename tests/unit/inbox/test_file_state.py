"""A file that was not watched before: is it deleted, is it complete, can it be read?"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from ocrd.inbox import file_state
from ocrd.inbox.file_state import (
    EMPTY_QUIET_S,
    FINDER_COPY_QUIET_S,
    FileState,
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
