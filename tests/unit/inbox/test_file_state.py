"""One look at a file of which nothing else is known: is it gone, has it settled, can it be read?"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from ocrd.inbox import file_state as looks
from ocrd.inbox.file_state import (
    COPY_GRACE,
    EMPTY_GRACE,
    FileState,
    gone,
    not_here,
    stat_file,
    unsettled_for,
)
from ocrd.types import Fingerprint


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "desk/a.png"
    path.parent.mkdir()
    path.write_bytes(b"picture")
    return path


def test_a_file_is_gone_only_when_its_folder_is_there_to_say_so(path: Path) -> None:
    known = stat_file(path).fingerprint
    assert known is not None and not gone(path, known)
    path.parent.rename(path.parent.with_name("away"))
    assert not gone(path, known)  # a disk that is not mounted
    path.parent.mkdir()
    assert gone(path, known)
    assert not gone(
        path, replace(known, device=known.device + 1)
    )  # an empty folder where it should be
    assert not gone(path.parent / "a\0b.png", known) and not gone(Path("/etc/passwd/a.png"), known)


def test_it_settles_by_its_last_change_of_any_kind(path: Path) -> None:
    now = path.stat().st_ctime
    os.utime(path, (0, 0))  # as a copy that keeps its times
    now = path.stat().st_ctime
    assert unsettled_for(path, 2.0, now=now + 0.5) == pytest.approx(1.5)
    assert unsettled_for(path, 2.0, now=now + 2.0) == 0.0
    assert unsettled_for(path, 0.0, now=now) == 0.0
    assert (
        unsettled_for(path, 2.0, now=now - 100.0) == 0.0
    )  # a server's clock that runs ahead says nothing
    assert unsettled_for(path.with_name("gone"), 2.0, now=now) == 0.0


def test_what_needs_patience_in_an_inbox_needs_it_everywhere(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(b"")
    now = path.stat().st_ctime
    assert unsettled_for(path, 2.0, now=now) == EMPTY_GRACE
    seen = FileState(Fingerprint(1, 2, 3, 4), "being copied by Finder", COPY_GRACE)
    monkeypatch.setattr(looks, "stat_file", lambda _path: seen)
    assert unsettled_for(path, 2.0, now=now + 100) == COPY_GRACE - 100 and not_here(path) is None
    cloud = FileState(Fingerprint(1, 2, 3, 4), "still in iCloud", float("inf"))
    monkeypatch.setattr(looks, "stat_file", lambda _path: cloud)
    assert unsettled_for(path, 2.0, now=now) == 2.0  # that is said, not waited for here
    assert str(not_here(path)).startswith("still in iCloud")
