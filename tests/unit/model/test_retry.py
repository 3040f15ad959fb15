"""What may pass is waited for.

Longer each time, never given up by the daemon, soon given up by a command.
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from ocrd.errors import ModelError, ModelUnavailable
from ocrd.model.progress import Meter
from ocrd.model.retry import AFTER_OTHERS, heal_with_retries


class Scripted:
    """Stands in for a healer: raises what the script says, then heals."""

    def __init__(self, *script: tuple[Exception | None, int]) -> None:
        self.script = iter(script)
        self.meter = Meter()
        self.tries = 0

    def heal(self) -> Any:
        self.tries += 1
        error, fetched = next(self.script, (None, 0))
        self.meter.begin("fetching", 10**9)
        self.meter.advance(fetched)
        if error is not None:
            raise error
        return "whole"


def waits(healer: Scripted, tries: int | None) -> list[float]:
    slept: list[float] = []
    said: list[float] = []
    result: object = heal_with_retries(
        healer,  # type: ignore[arg-type]
        tries,
        on_wait=lambda _, seconds: said.append(seconds),
        sleep=slept.append,
    )
    assert result == "whole"
    assert slept == said
    return slept


GONE = ModelUnavailable("no network")


def test_the_daemon_waits_longer_each_time_and_for_ever() -> None:
    assert waits(Scripted(*[(GONE, 0)] * 8), tries=None) == [5, 15, 60, 300, 600, 600, 600, 600]


def test_a_network_that_brings_something_gets_new_patience() -> None:
    script = [(GONE, 0), (GONE, 0), (GONE, 1000), (GONE, 0)]
    assert waits(Scripted(*script), tries=None) == [5, 15, 5, 15]
    assert waits(Scripted(*[(GONE, 0), (GONE, 5)] * 5), tries=3) == [5, 5, *[15, 5] * 4]


def test_a_command_gives_up_after_its_tries() -> None:
    healer = Scripted(*[(GONE, 0)] * 9)
    with pytest.raises(ModelUnavailable, match="no network"):
        waits(healer, tries=3)
    assert healer.tries == 3


def test_what_needs_somebodys_hand_is_not_waited_for_by_a_command() -> None:
    full = ModelUnavailable("the disk is full", soon=False)
    healer = Scripted((full, 0))
    with pytest.raises(ModelUnavailable, match="full"):
        waits(healer, tries=3)
    assert healer.tries == 1
    assert waits(Scripted((full, 0)), tries=None) == [5]


def test_another_process_at_work_is_waited_for_even_by_a_command() -> None:
    busy = ModelUnavailable("another ocrd is healing", others=True)
    assert waits(Scripted(*[(busy, 0)] * 50), tries=1) == [AFTER_OTHERS] * 50


def test_what_will_not_pass_is_raised_at_once() -> None:
    healer = Scripted(*itertools.repeat((ModelError("no such repository"), 0), 3))
    with pytest.raises(ModelError, match="no such repository"):
        waits(healer, tries=None)
    assert healer.tries == 1
