"""When the daemon pauses, and when it unloads an idle model."""

from __future__ import annotations

import threading
import time

import pytest

from ocrd.control.wakeup import notify_daemon
from ocrd.daemon import pause, power
from ocrd.daemon.power import Battery
from ocrd.status import EngineUnloaded
from tests.daemon_bench import DaemonBench, RunningDaemon, shorten_heartbeat


def test_on_battery_nothing_is_loaded_or_read_until_mains_power_is_back(
    daemon_bench: DaemonBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_battery = True
    battery = Battery(lambda: on_battery)
    monkeypatch.setattr(power, "BATTERY_CACHE_S", 0.0)
    shorten_heartbeat(monkeypatch)
    tables = {"power": {"pause_on_battery": True}}
    status = daemon_bench.journal.status
    with RunningDaemon(daemon_bench, monkeypatch, tables=tables, battery=battery) as running:
        running.wait_for(status.pause_reason)
        running.drop("a.png")
        running.wait_for(lambda: daemon_bench.journal.history.counts()["queued"] == 1)
        time.sleep(0.3)
        assert running.taken == [] and daemon_bench.backend.verified_fully == []
        assert "battery" in str(status.pause_reason())
        on_battery = False
        running.wait_for(lambda: running.taken == ["a.png"])
        assert status.pause_reason() is None
        on_battery = True
        running.wait_for(status.pause_reason)


def test_the_battery_does_not_matter_unless_it_is_configured(
    daemon_bench: DaemonBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RunningDaemon(daemon_bench, monkeypatch, battery=Battery(lambda: True)) as running:
        running.drop("a.png")
        running.wait_for(lambda: running.taken == ["a.png"])


def test_an_idle_model_is_unloaded_under_memory_pressure_and_stays_unloaded_until_it_is_needed(
    daemon_bench: DaemonBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_short = False
    shorten_heartbeat(monkeypatch)
    monkeypatch.setattr(pause, "MIN_IDLE_UNDER_PRESSURE_S", 0.1)
    with RunningDaemon(daemon_bench, monkeypatch, memory_is_short=lambda: is_short) as running:
        running.wait_for(lambda: len(daemon_bench.backend.verified_fully) == 1)
        time.sleep(0.5)
        assert daemon_bench.backend.unloads == 0
        is_short = True
        running.wait_for(lambda: daemon_bench.backend.unloads == 1)
        time.sleep(0.5)
        assert (daemon_bench.backend.unloads, len(daemon_bench.backend.verified_fully)) == (1, 1)
        assert isinstance(daemon_bench.journal.status.engine(), EngineUnloaded)
        running.drop("a.png")
        running.wait_for(lambda: running.taken == ["a.png"])
        assert len(daemon_bench.backend.verified_fully) == 2


def test_during_a_pause_an_idle_model_is_unloaded_too(
    daemon_bench: DaemonBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten_heartbeat(monkeypatch)
    status = daemon_bench.journal.status
    with RunningDaemon(
        daemon_bench, monkeypatch, tables={"engine": {"unload_after": 0.3}}
    ) as running:
        running.wait_for(status.daemon)
        status.request_pause(pause=True)
        notify_daemon(daemon_bench.journal.folder)
        running.wait_for(status.pause_reason)
        running.drop("a.png")
        running.wait_for(lambda: daemon_bench.journal.history.counts()["queued"] == 1)
        running.wait_for(
            lambda: daemon_bench.backend.unloads >= 1 or not daemon_bench.backend.ready
        )
        running.wait_for(lambda: isinstance(status.engine(), EngineUnloaded))
        assert running.taken == []
        status.request_pause(pause=False)
        notify_daemon(daemon_bench.journal.folder)
        running.wait_for(lambda: running.taken == ["a.png"])


def test_with_once_the_model_is_not_unloaded_while_a_hook_runs(
    daemon_bench: DaemonBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook_ended = threading.Event()
    tables = {"engine": {"unload_after": 0.05}}
    with RunningDaemon(daemon_bench, monkeypatch, tables=tables, once=True) as running:
        completion = type(running.daemon._completion)
        monkeypatch.setattr(completion, "idle", property(lambda _self: hook_ended.is_set()))
        running.wait_for(lambda: daemon_bench.backend.verified_fully)
        time.sleep(0.5)
        assert (daemon_bench.backend.unloads, len(daemon_bench.backend.verified_fully)) == (0, 1)
        assert running.thread.is_alive()
        hook_ended.set()
        running.wait_for(lambda: not running.thread.is_alive())


def test_with_an_unloaded_model_the_daemon_wakes_up_only_at_the_heartbeat(
    daemon_bench: DaemonBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RunningDaemon(
        daemon_bench, monkeypatch, tables={"engine": {"unload_after": 0.05}}
    ) as running:
        running.wait_for(lambda: daemon_bench.backend.unloads == 1)
        time.sleep(0.2)
        checks: list[float] = []
        pause_s = running.daemon._pause.pause_s

        def counted() -> float | None:
            checks.append(time.monotonic())
            return pause_s()

        monkeypatch.setattr(running.daemon._pause, "pause_s", counted)
        time.sleep(0.5)
        assert checks == []
        running.drop("a.png")
        running.wait_for(lambda: running.taken == ["a.png"])
