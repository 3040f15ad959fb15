"""How far it is, how fast, and how long still: from byte counts and a clock."""

from __future__ import annotations

from ocrd.model.progress import Meter, Progress


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_speed_and_time_left_follow_the_last_seconds() -> None:
    clock = Clock()
    told = list[Progress]()
    meter = Meter(told.append, pause=0.5, clock=clock)
    meter.begin("fetching", 1000)
    for _ in range(30):
        clock.now += 1
        meter.advance(10)
    assert (told[-1].done, told[-1].speed, told[-1].left) == (300, 10.0, 70.0)
    for _ in range(20):  # it became twice as fast: after the window the old speed is forgotten
        clock.now += 1
        meter.advance(20)
    assert told[-1].speed == 20.0 and told[-1].left == 15.0


def test_what_was_there_already_is_done_but_not_fast() -> None:
    clock = Clock()
    told = list[Progress]()
    meter = Meter(told.append, pause=0, clock=clock)
    meter.begin("fetching", 1000)
    meter.skip(900)
    clock.now += 10
    meter.advance(10)
    assert (told[-1].done, told[-1].speed) == (910, 1.0)


def test_it_tells_now_and_then_but_always_the_end() -> None:
    clock = Clock()
    told = list[Progress]()
    meter = Meter(told.append, pause=1.0, clock=clock)
    meter.begin("checking", 100)
    for _ in range(100):
        clock.now += 0.01
        meter.advance(1)
    assert len(told) < 5 and told[-1].done == 100


def test_nothing_moves_and_nothing_is_promised() -> None:
    clock = Clock()
    told = list[Progress]()
    meter = Meter(told.append, pause=0, clock=clock)
    meter.begin("fetching", 100)
    assert told[-1].speed is None and told[-1].left is None
    clock.now += 20
    meter.advance(0)
    assert told[-1].speed == 0.0 and told[-1].left is None
