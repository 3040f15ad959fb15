"""The daemon's loops, where a real worker cannot be made to fail on command."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from ocrd.control.wakeup import notify_daemon
from ocrd.daemon import job_loop
from ocrd.daemon.job_loop import MAX_LOAD_CRASHES
from ocrd.daemon.loop import MAX_FETCH_TRIES_ONCE
from ocrd.errors import BackendCrashed, EngineError, JournalError, ModelError
from ocrd.journal import Job
from ocrd.status import EngineStopped, ModelProgress
from tests.daemon_bench import DaemonBench, RunningDaemon
from tests.job_bench import fingerprint


def test_after_a_worker_died_while_loading_every_byte_of_the_model_is_hashed(
    daemon_bench: DaemonBench,
) -> None:
    daemon_bench.daemon(BackendCrashed("signal 7")).run()
    assert daemon_bench.backend.verified_fully == [False, True]


def test_workers_that_keep_dying_end_in_one_error(daemon_bench: DaemonBench) -> None:
    with pytest.raises(EngineError, match="signal 9"):
        daemon_bench.daemon(*[BackendCrashed("signal 9")] * MAX_LOAD_CRASHES).run()
    assert len(daemon_bench.backend.verified_fully) == MAX_LOAD_CRASHES


def test_crashes_between_which_the_download_made_progress_are_not_counted_together(
    daemon_bench: DaemonBench,
) -> None:
    daemon = daemon_bench.daemon()

    def script() -> Iterator[Exception | None]:
        for done_bytes in range(1, 3 * MAX_LOAD_CRASHES):
            daemon_bench.backend.on_status(
                ModelProgress("healing", "fetching", done_bytes, 100, None, None)
            )
            yield BackendCrashed("signal 9")

    daemon_bench.backend.script = script()
    daemon.run()
    assert len(daemon_bench.backend.verified_fully) == 3 * MAX_LOAD_CRASHES


def test_a_model_that_cannot_be_fetched_ends_the_run_and_status_is_right_afterwards(
    daemon_bench: DaemonBench,
) -> None:
    with pytest.raises(ModelError, match="no such revision"):
        daemon_bench.daemon(ModelError("no such revision")).run()
    assert daemon_bench.journal.status.daemon() is None
    assert daemon_bench.journal.status.engine() == EngineStopped()


def test_only_with_once_the_backend_gives_up_on_the_hub(daemon_bench: DaemonBench) -> None:
    daemon_bench.daemon(once=True)
    assert daemon_bench.backend.max_fetch_tries == MAX_FETCH_TRIES_ONCE
    daemon_bench.daemon(once=False)
    assert daemon_bench.backend.max_fetch_tries is None


def test_after_a_sleep_all_inboxes_are_rescanned(
    daemon_bench: DaemonBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RunningDaemon(daemon_bench, monkeypatch) as running:
        running.wait_for(daemon_bench.journal.status.daemon)
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
    daemon_bench: DaemonBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RunningDaemon(daemon_bench, monkeypatch) as running:
        running.wait_for(lambda: daemon_bench.backend.verified_fully)
        path = daemon_bench.folder / "elsewhere.png"
        path.write_bytes(b"picture")
        daemon_bench.journal.jobs.submit(path, fingerprint(path))
        time.sleep(0.3)
        assert running.taken == []  # nothing polls
        assert notify_daemon(daemon_bench.journal.folder)
        running.wait_for(lambda: running.taken == ["elsewhere.png"])


def test_an_error_of_the_journal_interrupts_the_jobs_and_does_not_end_the_daemon(
    daemon_bench: DaemonBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_loop, "RETRY_DELAY_S", 0.1)
    with RunningDaemon(daemon_bench, monkeypatch) as running:
        running.wait_for(lambda: daemon_bench.backend.verified_fully)
        take = daemon_bench.journal.jobs.take
        calls: list[int] = []

        def broken_once() -> Job | None:
            calls.append(1)
            if len(calls) == 1:
                raise JournalError("the disk is full")
            return take()

        monkeypatch.setattr(daemon_bench.journal.jobs, "take", broken_once)
        running.drop("a.png")
        running.wait_for(lambda: running.taken == ["a.png"])
        assert len(calls) >= 2
