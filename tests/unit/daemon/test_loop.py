"""The daemon's loop where a real worker cannot be made to fail on command.

Only the worker is made up here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ocrd.config import parse_config
from ocrd.control.wakeup import notify_daemon
from ocrd.daemon import loop, power
from ocrd.daemon import pause as pauses
from ocrd.daemon.loop import LOADS_ALLOWED, SILENCE, Daemon
from ocrd.daemon.power import Battery
from ocrd.errors import EngineError, ModelError
from ocrd.inbox.file_state import stat_file
from ocrd.journal import Job, Journal
from ocrd.worker.messages import Setup
from ocrd.worker.process import Ready, WorkerDied

READY = Ready("cpu", "float32", "native", "2", "5", {"repo": "a/b", "revision": None})


class ScriptedWorker:
    """Each start does what the script says next."""

    script: Iterator[Exception | None]
    distrusted: list[bool]
    setup: Setup
    warm = False
    pid = 1

    def __init__(
        self,
        setup: Setup,
        _deadline: float,
        **_options: object,
    ) -> None:
        type(self).setup = setup

    def start(self, *, distrust: bool = False, on_cpu: bool = False) -> Ready:
        self.distrusted.append(distrust)
        if error := next(self.script, None):
            raise error
        self.warm = True
        return READY

    def stop(self) -> None:
        pass


class Bench:
    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.journal = Journal(folder)
        self.inbox = folder / "in"
        monkeypatch.setattr(loop, "Worker", ScriptedWorker)
        ScriptedWorker.distrusted = []
        ScriptedWorker.script = iter(())

    def daemon(self, *script: Exception | None, once: bool = True) -> Daemon:
        ScriptedWorker.script = iter(script)
        config = parse_config({"inbox": [{"path": str(self.inbox), "settle": 0.1}]}, "test")
        return Daemon(config, self.journal, once=once, clock=lambda: self.now)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    bench = Bench(tmp_path, monkeypatch)
    yield bench
    bench.journal.close()


def test_a_worker_that_died_over_the_model_is_followed_by_one_that_hashes_every_byte(
    bench: Bench,
) -> None:
    bench.daemon(WorkerDied("signal 7")).run()
    assert ScriptedWorker.distrusted == [False, True]


def test_workers_that_keep_dying_end_in_one_error(bench: Bench) -> None:
    with pytest.raises(EngineError, match="signal 9"):
        bench.daemon(*[WorkerDied("signal 9")] * LOADS_ALLOWED).run()
    assert len(ScriptedWorker.distrusted) == LOADS_ALLOWED


def test_deaths_between_which_the_download_went_on_are_not_counted_together(bench: Bench) -> None:
    daemon = bench.daemon()

    def script() -> Iterator[Exception | None]:
        for piece in range(1, 3 * LOADS_ALLOWED):
            daemon._on_preparing(
                {"event": "preparing", "state": "healing", "phase": "fetching", "done": piece}
            )
            yield WorkerDied("signal 9")

    ScriptedWorker.script = script()
    daemon.run()
    assert len(ScriptedWorker.distrusted) == 3 * LOADS_ALLOWED


def test_a_journal_that_cannot_be_written_ends_no_healing(bench: Bench) -> None:
    daemon = bench.daemon()
    bench.journal.close()
    daemon._on_preparing({"event": "loading", "done": 0.5})
    bench.journal = Journal(bench.inbox.parent)


def test_a_model_that_cannot_be_had_ends_the_run_and_status_is_right_after(bench: Bench) -> None:
    with pytest.raises(ModelError, match="no such revision"):
        bench.daemon(ModelError("no such revision")).run()
    assert bench.journal.fact("daemon") is None and bench.journal.fact("engine") == {
        "state": "stopped"
    }


def test_only_once_gives_up_on_the_hub(bench: Bench) -> None:
    bench.daemon(once=True)
    assert ScriptedWorker.setup.tries == loop.TRIES_ONCE
    bench.daemon(once=False)
    assert ScriptedWorker.setup.tries is None


def test_healing_shows_in_status_each_time_and_in_the_log_now_and_then(
    bench: Bench, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon = bench.daemon()
    message: dict[str, Any] = {
        "event": "preparing",
        "state": "healing",
        "phase": "fetching",
        "done": 0,
        "total": 100,
    }
    for second in range(int(SILENCE * 2)):
        bench.now = float(second)
        daemon._on_preparing(message | {"done": second})
    fact = bench.journal.fact("engine")
    assert (fact["state"], fact["done"]) == ("healing", SILENCE * 2 - 1)
    assert (caplog.text + capsys.readouterr().out).count("healing the model") == 2
    daemon._on_preparing({"event": "loading", "done": 0.5})
    assert bench.journal.fact("engine")["state"] == "loading"


class Resting(ScriptedWorker):
    """One that can be let go, and counts its loads."""

    rests = 0

    def rest(self) -> None:
        type(self).rests += 1
        self.warm = False


class Running:
    """A daemon in a thread of its own, to be looked at while it runs."""

    def __init__(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch, *, tables: dict[str, Any], **more: Any
    ) -> None:
        monkeypatch.setattr(loop, "Worker", Resting)
        Resting.rests = 0
        Resting.distrusted = []
        Resting.script = iter(())
        config = parse_config(
            {"inbox": [{"path": str(bench.inbox), "settle": 0.1}], **tables}, "test"
        )
        self.daemon = Daemon(config, bench.journal, **more)
        self.taken: list[str] = []
        monkeypatch.setattr(self.daemon._reader, "handle", self._handle)
        monkeypatch.setattr(self.daemon._reader, "companions", lambda _job: [])
        bench.inbox.mkdir()
        self.bench = bench
        self.thread = threading.Thread(target=self.daemon.run)

    def _handle(self, job: Job) -> None:
        self.taken.append(job.path.name)
        self.bench.journal.finish(job.id)

    def __enter__(self) -> Running:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.daemon.stop()
        self.thread.join(10)
        assert not self.thread.is_alive()

    def drop(self, name: str) -> None:
        (self.bench.inbox / name).write_bytes(b"picture")

    def wait_for(self, true: Callable[[], object]) -> None:
        deadline = time.monotonic() + 10
        while not true():
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_on_its_battery_nothing_is_loaded_or_read_until_the_mains_are_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_battery = True
    battery = Battery(lambda: on_battery)
    monkeypatch.setattr(power, "BATTERY_KNOWN_FOR", 0.0)
    monkeypatch.setattr(loop, "HEARTBEAT", 0.1)
    with Running(
        bench, monkeypatch, tables={"power": {"pause_on_battery": True}}, battery=battery
    ) as running:
        running.wait_for(lambda: bench.journal.fact("paused"))
        running.drop("a.png")
        running.wait_for(lambda: bench.journal.counts()["queued"] == 1)
        time.sleep(0.3)
        assert running.taken == [] and Resting.distrusted == []
        assert "battery" in bench.journal.fact("paused")
        on_battery = False
        running.wait_for(lambda: running.taken == ["a.png"])
        assert bench.journal.fact("paused") is None
        on_battery = True
        running.wait_for(lambda: bench.journal.fact("paused"))


def test_the_battery_is_nobodys_business_unless_it_is_asked_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Running(bench, monkeypatch, tables={}, battery=Battery(lambda: True)) as running:
        running.wait_for(running.thread.is_alive)
        running.drop("a.png")
        running.wait_for(lambda: running.taken == ["a.png"])


def test_an_idle_model_is_let_go_under_critical_memory_pressure_and_stays_away_until_it_is_needed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = False
    monkeypatch.setattr(loop, "HEARTBEAT", 0.1)
    monkeypatch.setattr(pauses, "PRESSED_AFTER", 0.1)
    with Running(bench, monkeypatch, tables={}, memory_short=lambda: short) as running:
        running.wait_for(lambda: len(Resting.distrusted) == 1)
        time.sleep(0.5)
        assert Resting.rests == 0
        short = True
        running.wait_for(lambda: Resting.rests == 1)
        time.sleep(0.5)
        assert (Resting.rests, len(Resting.distrusted)) == (1, 1)
        assert bench.journal.fact("engine")["state"] == "unloaded"
        running.drop("a.png")
        running.wait_for(lambda: running.taken == ["a.png"])
        assert len(Resting.distrusted) == 2


def test_behind_a_sleep_all_inboxes_are_walked(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Running(bench, monkeypatch, tables={}) as running:
        running.wait_for(lambda: bench.journal.fact("daemon"))
        ((inbox, _),) = running.daemon._inboxes
        asked: list[float] = []
        rescan = inbox.request_rescan

        def request_rescan() -> None:
            asked.append(time.monotonic())
            rescan()

        monkeypatch.setattr(inbox, "request_rescan", request_rescan)
        running.daemon._wake.set()
        time.sleep(0.3)
        assert asked == []
        monkeypatch.setattr(running.daemon._sleep, "slept", lambda: 0.0 if asked else 3600.0)
        running.daemon._wake.set()
        running.wait_for(lambda: asked)


def test_a_ring_finds_what_a_command_put_into_the_journal(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Running(bench, monkeypatch, tables={}) as running:
        running.wait_for(lambda: Resting.distrusted)
        path = bench.inbox.parent / "elsewhere.png"
        path.write_bytes(b"picture")
        seen = stat_file(path).fingerprint
        assert seen is not None
        bench.journal.submit(path, seen)
        time.sleep(0.3)
        assert running.taken == []  # nobody polls
        assert notify_daemon(bench.journal.folder)
        running.wait_for(lambda: running.taken == ["elsewhere.png"])


def test_a_pause_gives_the_models_memory_back_as_idleness_does(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "HEARTBEAT", 0.1)
    with Running(bench, monkeypatch, tables={"engine": {"unload_after": 0.3}}) as running:
        running.wait_for(lambda: bench.journal.fact("daemon"))
        bench.journal.set_fact("pause", True)
        notify_daemon(bench.journal.folder)
        running.wait_for(lambda: bench.journal.fact("paused"))
        running.drop("a.png")
        running.wait_for(lambda: bench.journal.counts()["queued"] == 1)
        running.wait_for(lambda: Resting.rests >= 1 or not running.daemon._worker.warm)
        running.wait_for(lambda: bench.journal.fact("engine")["state"] == "unloaded")
        assert running.taken == []
        bench.journal.set_fact("pause", False)
        notify_daemon(bench.journal.folder)
        running.wait_for(lambda: running.taken == ["a.png"])


def test_one_run_never_unloads_while_it_waits_for_a_hook(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Running(
        bench, monkeypatch, tables={"engine": {"unload_after": 0.05}}, once=True
    ) as running:
        told = threading.Event()
        monkeypatch.setattr(
            type(running.daemon._afterwards), "idle", property(lambda _self: told.is_set())
        )
        running.wait_for(lambda: Resting.distrusted)
        time.sleep(0.5)
        assert (Resting.rests, len(Resting.distrusted)) == (0, 1) and running.thread.is_alive()
        told.set()
        running.wait_for(lambda: not running.thread.is_alive())


def test_an_unloaded_model_wakes_nobody_but_at_the_heartbeat(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Running(bench, monkeypatch, tables={"engine": {"unload_after": 0.05}}) as running:
        running.wait_for(lambda: Resting.rests == 1)
        time.sleep(0.2)
        looks: list[float] = []
        holds = running.daemon._pauses.holds

        def counted() -> float | None:
            looks.append(time.monotonic())
            return holds()

        monkeypatch.setattr(running.daemon._pauses, "holds", counted)
        time.sleep(0.5)
        assert looks == []
        running.drop("a.png")
        running.wait_for(lambda: running.taken == ["a.png"])
