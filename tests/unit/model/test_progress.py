"""Progress, speed and remaining time follow from byte counts and a clock."""

from __future__ import annotations

from ocrd.model.progress import ProgressMeter, TransferProgress


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_speed_and_remaining_time_follow_the_last_seconds() -> None:
    clock = Clock()
    reports = list[TransferProgress]()
    meter = ProgressMeter(reports.append, interval_s=0.5, clock=clock)
    meter.start_phase("fetching", 1000)
    for _ in range(30):
        clock.now += 1
        meter.advance(10)
    assert (reports[-1].done_bytes, reports[-1].bytes_per_s) == (300, 10.0)
    assert reports[-1].remaining_s == 70.0
    for _ in range(20):  # twice as fast: after the window the old speed is forgotten
        clock.now += 1
        meter.advance(20)
    assert reports[-1].bytes_per_s == 20.0 and reports[-1].remaining_s == 15.0


def test_skipped_bytes_are_done_but_do_not_count_for_the_speed() -> None:
    clock = Clock()
    reports = list[TransferProgress]()
    meter = ProgressMeter(reports.append, interval_s=0, clock=clock)
    meter.start_phase("fetching", 1000)
    meter.skip(900)
    clock.now += 10
    meter.advance(10)
    assert (reports[-1].done_bytes, reports[-1].bytes_per_s) == (910, 1.0)


def test_reports_are_rare_but_the_end_is_always_reported() -> None:
    clock = Clock()
    reports = list[TransferProgress]()
    meter = ProgressMeter(reports.append, interval_s=1.0, clock=clock)
    meter.start_phase("checking", 100)
    for _ in range(100):
        clock.now += 0.01
        meter.advance(1)
    assert len(reports) < 5 and reports[-1].done_bytes == 100


def test_a_stalled_transfer_has_no_remaining_time() -> None:
    clock = Clock()
    reports = list[TransferProgress]()
    meter = ProgressMeter(reports.append, interval_s=0, clock=clock)
    meter.start_phase("fetching", 100)
    assert reports[-1].bytes_per_s is None and reports[-1].remaining_s is None
    clock.now += 20
    meter.advance(0)
    assert reports[-1].bytes_per_s == 0.0 and reports[-1].remaining_s is None
