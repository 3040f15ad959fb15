"""Delays grow with each failure and then stay the same."""

from __future__ import annotations

from ocrd.backoff import Backoff


def test_the_delays_grow_and_the_last_one_repeats() -> None:
    backoff = Backoff((1.0, 5.0, 30.0))
    assert [backoff.delay_s(failures) for failures in range(1, 6)] == [1.0, 5.0, 30.0, 30.0, 30.0]


def test_without_a_failure_the_first_delay_counts() -> None:
    assert Backoff((1.0, 5.0)).delay_s(0) == 1.0
