"""Power: awake while there is work, asleep noticed, the battery asked seldom."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import psutil
import pytest

from ocrd import system_commands
from ocrd.daemon import power
from ocrd.daemon.power import BATTERY_CACHE_S, Battery, KeepAwake, SleepWatch, memory_is_short


def test_sleep_is_the_time_that_the_wall_clock_went_on_without_ours() -> None:
    mono = 100.0
    wall = 1_000_000.0
    watch = SleepWatch(lambda: mono, lambda: wall)
    mono = mono + 60
    wall = wall + 60.5
    assert watch.slept() == 0.0
    mono = mono + 1
    wall = wall + 3601
    assert watch.slept() == pytest.approx(3600)
    assert watch.slept() == 0.0
    wall -= 7200  # a clock that is set back
    assert watch.slept() == 0.0


def test_many_small_drifts_are_no_sleep() -> None:
    mono = 0.0
    wall = 0.0
    watch = SleepWatch(lambda: mono, lambda: wall)
    for _ in range(100):
        mono = mono + 60
        wall = wall + 60.3
        assert watch.slept() == 0.0


def test_the_battery_is_asked_again_only_after_a_while() -> None:
    now = 0.0
    answers = [True, False]
    asked: list[float] = []

    def ask() -> bool:
        asked.append(now)
        return answers[len(asked) - 1]

    battery = Battery(ask, lambda: now)
    assert battery.in_use and battery.in_use and asked == [0.0]
    now = BATTERY_CACHE_S
    assert not battery.in_use and asked == [0.0, BATTERY_CACHE_S]


def test_a_machine_that_does_not_say_is_on_the_mains(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Battery(lambda: None).in_use is False
    for sensor, in_use in (
        (None, False),
        ((50.0, 3600, True), False),
        ((50.0, 3600, False), True),
        ((50.0, 0, None), False),
    ):
        found = None if sensor is None else psutil._ntuples.sbattery(*sensor)
        monkeypatch.setattr(psutil, "sensors_battery", lambda found=found: found, raising=False)
        assert Battery().in_use is in_use


def test_caffeinate_runs_once_for_our_process_and_ends_when_it_is_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "caffeinate"
    program.write_text(f"#!{sys.executable}\nimport time\ntime.sleep(60)\n")
    program.chmod(0o755)
    monkeypatch.setattr(system_commands, "is_macos", lambda: True)
    monkeypatch.setitem(system_commands.PROGRAMS, "caffeinate", str(program))

    def running() -> list[list[str]]:
        lines = [
            p.cmdline() for p in psutil.Process().children() if p.status() != psutil.STATUS_ZOMBIE
        ]
        return [line[-3:] for line in lines if str(program) in line]

    awake = KeepAwake(wanted=True)
    awake.hold()
    process = awake._process
    awake.hold()
    assert process is not None and awake._process is process
    assert process.args == [str(program), "-i", "-w", str(os.getpid())]
    awake.release()
    assert process.returncode is not None and running() == []
    awake.release()
    KeepAwake(wanted=False).hold()
    assert running() == []


def test_a_mac_without_caffeinate_reads_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_commands, "is_macos", lambda: True)
    monkeypatch.setitem(system_commands.PROGRAMS, "caffeinate", "/nowhere/caffeinate")
    awake = KeepAwake(wanted=True)
    awake.hold()
    awake.hold()
    awake.release()
    assert awake._wanted is False


def test_memory_pressure_is_the_kernels_word_and_only_macs_have_one() -> None:
    if sys.platform == "darwin":
        assert memory_is_short() in (True, False)
    else:
        assert memory_is_short() is False
    assert power.CRITICAL_PRESSURE == 4
