"""The daemon's loops, where a real worker cannot be made to fail on command."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ocrd.config import Config, parse_config
from ocrd.control.wakeup import notify_daemon
from ocrd.daemon import inbox_poller, job_loop, power
from ocrd.daemon import pause as pause_module
from ocrd.daemon.job_loop import MAX_LOAD_CRASHES
from ocrd.daemon.loop import MAX_FETCH_TRIES_ONCE, Daemon
from ocrd.daemon.power import Battery
from ocrd.errors import BackendCrashed, EngineError, ModelError
from ocrd.journal import Job, Journal
from ocrd.status import EngineStopped, EngineUnloaded, ModelProgress
from ocrd.types import BackendInfo
from tests.job_bench import INFO, ScriptedBackend, fingerprint, reads


class StartingBackend(ScriptedBackend):
    """Each start does what the script says next; loads and unloads are counted."""

    def __init__(self, config: Config, *, max_fetch_tries: int | None, **options: Any) -> None:
        super().__init__(reads())
        self.ready = False
        self.max_fetch_tries = max_fetch_tries
        self.on_status = options["on_status"]
        self.script: Iterator[Exception | None] = iter(())
        self.verified_fully: list[bool] = []
        self.unloads = 0

    def start(self, *, verify_fully: bool = False, cpu_only: bool = False) -> BackendInfo:
        self.verified_fully.append(verify_fully)
        error = next(self.script, None)
        if error is not None:
            raise error
        self.ready = True
        self.info = INFO
        return INFO

    def unload(self) -> None:
        self.unloads += 1
        self.ready = False


class DaemonBench:
    """A daemon on a temporary inbox; its backend is `backend`."""

    def __init__(self, folder: Path) -> None:
        self.journal = Journal(folder)
        self.folder = folder
        self.inbox = folder / "in"

    def daemon(self, *script: Exception | None, once: bool = True, **options: Any) -> Daemon:
        tables = options.pop("tables", {})
        inbox = {"path": str(self.inbox), "settle": 0.1}
        config = parse_config({"inbox": [inbox], **tables}, "test")

        def make_backend(config: Config, **options: Any) -> StartingBackend:
            self.backend = StartingBackend(config, **options)
            self.backend.script = iter(script)
            return self.backend

        return Daemon(config, self.journal, once=once, make_backend=make_backend, **options)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[DaemonBench]:
    bench = DaemonBench(tmp_path)
    yield bench
    bench.journal.close()


def test_after_a_worker_died_while_loading_every_byte_of_the_model_is_hashed(
    bench: DaemonBench,
) -> None:
    bench.daemon(BackendCrashed("signal 7")).run()
    assert bench.backend.verified_fully == [False, True]


def test_workers_that_keep_dying_end_in_one_error(bench: DaemonBench) -> None:
    with pytest.raises(EngineError, match="signal 9"):
        bench.daemon(*[BackendCrashed("signal 9")] * MAX_LOAD_CRASHES).run()
    assert len(bench.backend.verified_fully) == MAX_LOAD_CRASHES


def test_crashes_between_which_the_download_made_progress_are_not_counted_together(
    bench: DaemonBench,
) -> None:
    daemon = bench.daemon()

    def script() -> Iterator[Exception | None]:
        for done_bytes in range(1, 3 * MAX_LOAD_CRASHES):
            bench.backend.on_status(
                ModelProgress("healing", "fetching", done_bytes, 100, None, None)
            )
            yield BackendCrashed("signal 9")

    bench.backend.script = script()
    daemon.run()
    assert len(bench.backend.verified_fully) == 3 * MAX_LOAD_CRASHES


def test_a_model_that_cannot_be_fetched_ends_the_run_and_status_is_right_afterwards(
    bench: DaemonBench,
) -> None:
    with pytest.raises(ModelError, match="no such revision"):
        bench.daemon(ModelError("no such revision")).run()
    assert bench.journal.status.daemon() is None
    assert bench.journal.status.engine() == EngineStopped()


def test_only_with_once_the_backend_gives_up_on_the_hub(bench: DaemonBench) -> None:
    bench.daemon(once=True)
    assert bench.backend.max_fetch_tries == MAX_FETCH_TRIES_ONCE
    bench.daemon(once=False)
    assert bench.backend.max_fetch_tries is None


class Running:
    """A daemon in a thread of its own, whose jobs are noted and finished."""

    def __init__(
        self,
        bench: DaemonBench,
        monkeypatch: pytest.MonkeyPatch,
        *,
        once: bool = False,
        **options: Any,
    ) -> None:
        self.bench = bench
        self.daemon = bench.daemon(once=once, **options)
        self.taken: list[str] = []
        runner = self.daemon._jobs._runner
        monkeypatch.setattr(runner, "run", self._run)
        monkeypatch.setattr(runner, "companions", lambda _job: [])
        bench.inbox.mkdir()
        self.thread = threading.Thread(target=self.daemon.run)

    def _run(self, job: Job) -> None:
        self.taken.append(job.path.name)
        self.bench.journal.jobs.finish(job.id)

    def __enter__(self) -> Running:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.daemon.stop()
        self.thread.join(10)
        assert not self.thread.is_alive()

    def drop(self, name: str) -> None:
        (self.bench.inbox / name).write_bytes(b"picture")

    def wait_for(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.02)


def shorten_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_loop, "HEARTBEAT_S", 0.1)
    monkeypatch.setattr(inbox_poller, "HEARTBEAT_S", 0.1)


def test_on_battery_nothing_is_loaded_or_read_until_mains_power_is_back(
    bench: DaemonBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_battery = True
    battery = Battery(lambda: on_battery)
    monkeypatch.setattr(power, "BATTERY_CACHE_S", 0.0)
    shorten_heartbeat(monkeypatch)
    tables = {"power": {"pause_on_battery": True}}
    status = bench.journal.status
    with Running(bench, monkeypatch, tables=tables, battery=battery) as running:
        running.wait_for(status.pause_reason)
        running.drop("a.png")
        running.wait_for(lambda: bench.journal.history.counts()["queued"] == 1)
        time.sleep(0.3)
        assert running.taken == [] and bench.backend.verified_fully == []
        assert "battery" in str(status.pause_reason())
        on_battery = False
        running.wait_for(lambda: running.taken == ["a.png"])
        assert status.pause_reason() is None
        on_battery = True
        running.wait_for(status.pause_reason)


def test_the_battery_does_not_matter_unless_it_is_configured(
    bench: DaemonBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Running(bench, monkeypatch, battery=Battery(lambda: True)) as running:
        running.drop("a.png")
        running.wait_for(lambda: running.taken == ["a.png"])


def test_an_idle_model_is_unloaded_under_memory_pressure_and_stays_unloaded_until_it_is_needed(
    bench: DaemonBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_short = False
    shorten_heartbeat(monkeypatch)
    monkeypatch.setattr(pause_module, "MIN_IDLE_UNDER_PRESSURE_S", 0.1)
    with Running(bench, monkeypatch, memory_is_short=lambda: is_short) as running:
        running.wait_for(lambda: len(bench.backend.verified_fully) == 1)
        time.sleep(0.5)
        assert bench.backend.unloads == 0
        is_short = True
        running.wait_for(lambda: bench.backend.unloads == 1)
        time.sleep(0.5)
        assert (bench.backend.unloads, len(bench.backend.verified_fully)) == (1, 1)
        assert isinstance(bench.journal.status.engine(), EngineUnloaded)
        running.drop("a.png")
        running.wait_for(lambda: running.taken == ["a.png"])
        assert len(bench.backend.verified_fully) == 2


def test_after_a_sleep_all_inboxes_are_rescanned(
    bench: DaemonBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Running(bench, monkeypatch) as running:
        running.wait_for(bench.journal.status.daemon)
        poller = running.daemon._inboxes
        ((inbox, _),) = poller._inboxes
        rescans: list[float] = []
        rescan = inbox.request_rescan

        def request_rescan() -> None:
            rescans.append(time.monotonic())
            rescan()

        monkeypatch.setattr(inbox, "request_rescan", request_rescan)
        running.daemon._signals.inbox.set()
        time.sleep(0.3)
        assert rescans == []
        monkeypatch.setattr(poller._sleep_watch, "slept", lambda: 0.0 if rescans else 3600.0)
        running.daemon._signals.inbox.set()
        running.wait_for(lambda: rescans)


def test_a_wakeup_finds_what_a_command_put_into_the_journal(
    bench: DaemonBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Running(bench, monkeypatch) as running:
        running.wait_for(lambda: bench.backend.verified_fully)
        path = bench.folder / "elsewhere.png"
        path.write_bytes(b"picture")
        bench.journal.jobs.submit(path, fingerprint(path))
        time.sleep(0.3)
        assert running.taken == []  # nothing polls
        assert notify_daemon(bench.journal.folder)
        running.wait_for(lambda: running.taken == ["elsewhere.png"])


def test_during_a_pause_an_idle_model_is_unloaded_too(
    bench: DaemonBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten_heartbeat(monkeypatch)
    status = bench.journal.status
    with Running(bench, monkeypatch, tables={"engine": {"unload_after": 0.3}}) as running:
        running.wait_for(status.daemon)
        status.request_pause(pause=True)
        notify_daemon(bench.journal.folder)
        running.wait_for(status.pause_reason)
        running.drop("a.png")
        running.wait_for(lambda: bench.journal.history.counts()["queued"] == 1)
        running.wait_for(lambda: bench.backend.unloads >= 1 or not bench.backend.ready)
        running.wait_for(lambda: isinstance(status.engine(), EngineUnloaded))
        assert running.taken == []
        status.request_pause(pause=False)
        notify_daemon(bench.journal.folder)
        running.wait_for(lambda: running.taken == ["a.png"])


def test_with_once_the_model_is_not_unloaded_while_a_hook_runs(
    bench: DaemonBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook_ended = threading.Event()
    tables = {"engine": {"unload_after": 0.05}}
    with Running(bench, monkeypatch, tables=tables, once=True) as running:
        completion = type(running.daemon._completion)
        monkeypatch.setattr(completion, "idle", property(lambda _self: hook_ended.is_set()))
        running.wait_for(lambda: bench.backend.verified_fully)
        time.sleep(0.5)
        assert (bench.backend.unloads, len(bench.backend.verified_fully)) == (0, 1)
        assert running.thread.is_alive()
        hook_ended.set()
        running.wait_for(lambda: not running.thread.is_alive())


def test_with_an_unloaded_model_nothing_wakes_up_but_at_the_heartbeat(
    bench: DaemonBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Running(bench, monkeypatch, tables={"engine": {"unload_after": 0.05}}) as running:
        running.wait_for(lambda: bench.backend.unloads == 1)
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


def test_an_error_of_the_journal_interrupts_the_jobs_and_does_not_end_the_daemon(
    bench: DaemonBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_loop, "RETRY_DELAY_S", 0.1)
    with Running(bench, monkeypatch) as running:
        running.wait_for(lambda: bench.backend.verified_fully)
        take = bench.journal.jobs.take
        calls: list[int] = []

        def broken_once() -> Job | None:
            calls.append(1)
            if len(calls) == 1:
                from ocrd.errors import JournalError

                raise JournalError("the disk is full")
            return take()

        monkeypatch.setattr(bench.journal.jobs, "take", broken_once)
        running.drop("a.png")
        running.wait_for(lambda: running.taken == ["a.png"])
        assert len(calls) >= 2
