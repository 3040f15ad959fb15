"""When a file counts as complete."""

from __future__ import annotations

import math
import os
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrd.inbox.file_state import BIRTH_GRACE, COPY_GRACE, EMPTY_GRACE, judge, stat_file
from ocrd.inbox.stability import RECHECK, StabilityTracker
from ocrd.types import Fingerprint

FILE = Path("/inbox/scan.png")


def state(size: int) -> Fingerprint:
    return Fingerprint(1, 2, size, 3)


def status(size: int = 10, **extra: float) -> os.stat_result:
    return cast(
        "os.stat_result", SimpleNamespace(st_dev=1, st_ino=2, st_size=size, st_mtime_ns=3, **extra)
    )


def test_one_look_is_never_enough() -> None:
    assert not StabilityTracker(1.0).seen(FILE, state(1), now=1000.0)


def test_two_equal_looks_a_settle_time_apart_are_enough() -> None:
    table = StabilityTracker(1.0)
    table.seen(FILE, state(1), now=10.0)
    assert not table.seen(FILE, state(1), now=10.9)
    assert table.seen(FILE, state(1), now=11.0)
    assert table.waiting() == ()


def test_a_file_still_growing_is_not_taken() -> None:
    table = StabilityTracker(1.0)
    assert not any(table.seen(FILE, state(size), now=size * 5.0) for size in range(50))


def test_a_forgotten_file_starts_afresh() -> None:
    table = StabilityTracker(1.0)
    table.seen(FILE, state(1), now=0.0)
    table.forget(FILE)
    assert not table.seen(FILE, state(1), now=5.0)


def test_patience_that_ends_starts_the_wait_afresh() -> None:
    table = StabilityTracker(1.0)
    table.seen(FILE, state(1), now=0.0, patience=math.inf, reason="still in iCloud")
    assert not table.seen(FILE, state(1), now=1e6, patience=math.inf, reason="still in iCloud")
    assert not table.seen(FILE, state(1), now=1e6 + 1)
    assert table.seen(FILE, state(1), now=1e6 + 2)


def test_nothing_waits_then_nothing_is_due() -> None:
    assert StabilityTracker(1.0).next_due(5.0) is None


def test_a_patient_file_is_looked_at_seldom() -> None:
    table = StabilityTracker(1.0)
    table.seen(FILE, state(1), now=0.0, patience=math.inf)
    table.seen(FILE, state(1), now=1.0, patience=math.inf)
    assert table.next_due(1.0) == RECHECK


@given(
    st.lists(st.tuples(st.integers(0, 2), st.floats(0, 3)), max_size=30),
    st.floats(0, 4),
)
def test_taken_means_that_all_looks_of_a_settle_time_agreed(
    looks: list[tuple[int, float]], settle: float
) -> None:
    table = StabilityTracker(settle)
    now = 100.0
    run: list[tuple[int, float]] = []
    for size, pause in looks:
        now += pause
        run = [*run, (size, now)] if run and run[-1][0] == size else [(size, now)]
        taken = table.seen(FILE, state(size), now=now)
        assert taken == (len(run) > 1 and now >= run[0][1] + settle)
        if taken:
            run = []


@given(st.floats(0.01, 60), st.floats(0, 1e6))
def test_who_looks_when_due_takes_a_quiet_file_in_time_and_without_spinning(
    settle: float, start: float
) -> None:
    table = StabilityTracker(settle)
    now = start
    looks = 1
    taken = table.seen(FILE, state(1), now=now)
    while not taken:
        wait = table.next_due(now)
        assert wait is not None
        now += wait + 1e-6
        assert table.due(now) == [FILE]
        taken = table.seen(FILE, state(1), now=now)
        looks += 1
    assert now <= start + settle + 0.3
    assert looks <= 3 + settle / RECHECK


def test_a_plain_file_gives_its_fingerprint(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(b"12345")
    found = file.stat()
    seen = stat_file(file)
    assert seen.fingerprint == Fingerprint(found.st_dev, found.st_ino, 5, found.st_mtime_ns)
    assert seen.patience == 0


def test_links_pipes_folders_and_absent_files_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "real.png").write_bytes(b"x")
    (tmp_path / "link.png").symlink_to("real.png")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    for name in ("link.png", "pipe.png", "folder.png", "absent.png", "real.png/below.png"):
        seen = stat_file(tmp_path / name)
        assert seen.fingerprint is None
        assert seen.reason


def test_an_empty_file_gets_a_longer_grace_and_then_its_turn(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    seen = stat_file(tmp_path / "a.png")
    assert seen.fingerprint is not None
    table = StabilityTracker(1.0)
    table.seen(FILE, seen.fingerprint, now=0.0, patience=seen.patience)
    assert not table.seen(FILE, seen.fingerprint, now=EMPTY_GRACE - 1, patience=seen.patience)
    assert table.seen(FILE, seen.fingerprint, now=EMPTY_GRACE, patience=seen.patience)


def test_a_file_in_icloud_waits_for_ever() -> None:
    assert judge(status(st_flags=0x40000000), b"").patience == math.inf
    assert judge(status(st_flags=0x20), b"").patience == 0


def test_a_file_that_finder_marks_as_busy_waits(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"x")
    assert (
        stat_file(tmp_path / "a.png", lambda path: b"brokMACS" + bytes(24)).patience == COPY_GRACE
    )
    assert stat_file(tmp_path / "a.png", lambda path: b"PNGfogle" + bytes(24)).patience == 0


@pytest.mark.parametrize(
    "born", [datetime(1946, 2, 14, 8, 34, 56), datetime(1970, 1, 1), datetime(1984, 1, 24, 8)]
)
def test_the_birth_times_of_running_copies_wait(born: datetime) -> None:
    assert (
        judge(status(st_birthtime=born.replace(tzinfo=UTC).timestamp()), b"").patience
        == BIRTH_GRACE
    )


@pytest.mark.parametrize("born", [datetime(1983, 6, 1), datetime(1984, 2, 1), datetime(2024, 5, 5)])
def test_other_birth_times_do_not(born: datetime) -> None:
    assert judge(status(st_birthtime=born.replace(tzinfo=UTC).timestamp()), b"").patience == 0
