"""Errors that may pass are retried: without a limit by the daemon, a few times by a command."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from ocrd.errors import ModelError, ModelUnavailable
from ocrd.model.progress import ProgressMeter
from ocrd.model.retry import LOCK_RETRY_DELAY_S, heal_with_retries


class Scripted:
    """A healer that raises the scripted errors, then succeeds."""

    def __init__(self, *script: tuple[Exception | None, int]) -> None:
        self.script = iter(script)
        self.meter = ProgressMeter()
        self.tries = 0

    def heal(self) -> Any:
        self.tries += 1
        error, fetched = next(self.script, (None, 0))
        self.meter.start_phase("fetching", 10**9)
        self.meter.advance(fetched)
        if error is not None:
            raise error
        return "complete"


def waits(healer: Scripted, max_tries: int | None) -> list[float]:
    slept: list[float] = []
    reported: list[float] = []
    result: object = heal_with_retries(
        healer,  # type: ignore[arg-type]
        max_tries,
        on_wait=lambda _, seconds: reported.append(seconds),
        sleep=slept.append,
    )
    assert result == "complete"
    assert slept == reported
    return slept


NO_NETWORK = ModelUnavailable("no network")


def test_the_daemon_waits_longer_each_time_and_never_stops() -> None:
    assert waits(Scripted(*[(NO_NETWORK, 0)] * 8), max_tries=None) == [
        5,
        15,
        60,
        300,
        600,
        600,
        600,
        600,
    ]


def test_a_network_that_brings_something_starts_with_short_waits_again() -> None:
    script = [(NO_NETWORK, 0), (NO_NETWORK, 0), (NO_NETWORK, 1000), (NO_NETWORK, 0)]
    assert waits(Scripted(*script), max_tries=None) == [5, 15, 5, 15]
    assert waits(Scripted(*[(NO_NETWORK, 0), (NO_NETWORK, 5)] * 5), max_tries=3) == [
        5,
        5,
        *[15, 5] * 4,
    ]


def test_a_command_gives_up_after_its_tries() -> None:
    healer = Scripted(*[(NO_NETWORK, 0)] * 9)
    with pytest.raises(ModelUnavailable, match="no network"):
        waits(healer, max_tries=3)
    assert healer.tries == 3


def test_a_command_does_not_wait_for_the_user_to_fix_something() -> None:
    full = ModelUnavailable("the disk is full", needs_user=True)
    healer = Scripted((full, 0))
    with pytest.raises(ModelUnavailable, match="full"):
        waits(healer, max_tries=3)
    assert healer.tries == 1
    assert waits(Scripted((full, 0)), max_tries=None) == [5]


def test_a_command_waits_for_another_process_that_heals() -> None:
    busy = ModelUnavailable("another ocrd is healing the model", locked=True)
    assert waits(Scripted(*[(busy, 0)] * 50), max_tries=1) == [LOCK_RETRY_DELAY_S] * 50


def test_a_permanent_error_is_raised_without_a_retry() -> None:
    healer = Scripted(*itertools.repeat((ModelError("no such repository"), 0), 3))
    with pytest.raises(ModelError, match="no such repository"):
        waits(healer, max_tries=None)
    assert healer.tries == 1
