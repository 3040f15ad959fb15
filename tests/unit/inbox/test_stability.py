"""When a file counts as complete."""

from __future__ import annotations

import math
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from ocrd.inbox.file_state import (
    EMPTY_QUIET_S,
    stat_file,
)
from ocrd.inbox.stability import RECHECK_S, StabilityTracker
from ocrd.types import Fingerprint

FILE = Path("/inbox/scan.png")


def state(size: int) -> Fingerprint:
    return Fingerprint(1, 2, size, 3)


def test_one_check_is_never_enough() -> None:
    assert not StabilityTracker(1.0).observe(FILE, state(1), now=1000.0)


def test_two_equal_checks_a_settle_time_apart_are_enough() -> None:
    tracker = StabilityTracker(1.0)
    tracker.observe(FILE, state(1), now=10.0)
    assert not tracker.observe(FILE, state(1), now=10.9)
    assert tracker.observe(FILE, state(1), now=11.0)
    assert tracker.pending() == ()


def test_a_file_still_growing_is_not_taken() -> None:
    tracker = StabilityTracker(1.0)
    assert not any(tracker.observe(FILE, state(size), now=size * 5.0) for size in range(50))


def test_a_forgotten_file_starts_to_wait_again() -> None:
    tracker = StabilityTracker(1.0)
    tracker.observe(FILE, state(1), now=0.0)
    tracker.forget(FILE)
    assert not tracker.observe(FILE, state(1), now=5.0)


def test_a_shorter_required_quiet_time_starts_the_wait_again() -> None:
    tracker = StabilityTracker(1.0)
    tracker.observe(FILE, state(1), now=0.0, required_quiet_s=math.inf, reason="still in iCloud")
    assert not tracker.observe(
        FILE, state(1), now=1e6, required_quiet_s=math.inf, reason="still in iCloud"
    )
    assert not tracker.observe(FILE, state(1), now=1e6 + 1)
    assert tracker.observe(FILE, state(1), now=1e6 + 2)


def test_without_a_pending_file_no_check_is_due() -> None:
    assert StabilityTracker(1.0).next_due_in_s(5.0) is None


def test_a_file_with_a_long_quiet_time_is_checked_rarely() -> None:
    tracker = StabilityTracker(1.0)
    tracker.observe(FILE, state(1), now=0.0, required_quiet_s=math.inf)
    tracker.observe(FILE, state(1), now=1.0, required_quiet_s=math.inf)
    assert tracker.next_due_in_s(1.0) == RECHECK_S


@given(
    st.lists(st.tuples(st.integers(0, 2), st.floats(0, 3)), max_size=30),
    st.floats(0, 4),
)
def test_a_stable_file_was_unchanged_in_every_check_of_its_settle_time(
    checks: list[tuple[int, float]], settle_s: float
) -> None:
    tracker = StabilityTracker(settle_s)
    now = 100.0
    unchanged: list[tuple[int, float]] = []
    for size, pause in checks:
        now += pause
        unchanged = (
            [*unchanged, (size, now)] if unchanged and unchanged[-1][0] == size else [(size, now)]
        )
        stable = tracker.observe(FILE, state(size), now=now)
        assert stable == (len(unchanged) > 1 and now >= unchanged[0][1] + settle_s)
        if stable:
            unchanged = []


@given(st.floats(0.01, 60), st.floats(0, 1e6))
def test_checks_that_are_made_when_due_find_a_stable_file_in_time_and_are_few(
    settle_s: float, start: float
) -> None:
    tracker = StabilityTracker(settle_s)
    now = start
    checks = 1
    stable = tracker.observe(FILE, state(1), now=now)
    while not stable:
        wait = tracker.next_due_in_s(now)
        assert wait is not None
        now += wait + 1e-6
        assert tracker.due(now) == [FILE]
        stable = tracker.observe(FILE, state(1), now=now)
        checks += 1
    assert now <= start + settle_s + 0.3
    assert checks <= 3 + settle_s / RECHECK_S


def test_an_empty_file_waits_longer_and_is_then_taken(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    seen = stat_file(tmp_path / "a.png")
    assert seen.fingerprint is not None
    tracker = StabilityTracker(1.0)
    tracker.observe(FILE, seen.fingerprint, now=0.0, required_quiet_s=seen.required_quiet_s)
    assert not tracker.observe(
        FILE, seen.fingerprint, now=EMPTY_QUIET_S - 1, required_quiet_s=seen.required_quiet_s
    )
    assert tracker.observe(
        FILE, seen.fingerprint, now=EMPTY_QUIET_S, required_quiet_s=seen.required_quiet_s
    )
