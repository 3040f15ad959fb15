"""The daemon's loop where a real worker cannot be made to fail on command: only the worker is made up here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ocrd.config import parse_config
from ocrd.daemon import loop
from ocrd.daemon.loop import LOADS_ALLOWED, SILENCE, Daemon
from ocrd.errors import EngineError, ModelError
from ocrd.journal import Journal
from ocrd.worker.parent import Ready, WorkerDied
from ocrd.worker.protocol import Message, Setup

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
        _preparing: Callable[[Message], None],
        _end: Callable[[], None],
        *_: object,
    ) -> None:
        type(self).setup = setup

    def start(self, distrust: bool = False, on_cpu: bool = False) -> Ready:
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
        ScriptedWorker.distrusted, ScriptedWorker.script = [], iter(())

    def daemon(self, *script: Exception | None, once: bool = True) -> Daemon:
        ScriptedWorker.script = iter(script)
        config = parse_config({"inbox": [{"path": str(self.inbox), "settle": 0.1}]}, "test")
        return Daemon(config, self.journal, once, clock=lambda: self.now)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    bench = Bench(tmp_path, monkeypatch)
    yield bench
    bench.journal.close()


def test_a_worker_that_died_over_the_model_is_followed_by_one_that_hashes_every_byte(bench: Bench) -> None:
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
            daemon._on_preparing({"event": "preparing", "state": "healing", "phase": "fetching", "done": piece})
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
    assert bench.journal.fact("daemon") is None and bench.journal.fact("engine") == {"state": "stopped"}


def test_only_once_gives_up_on_the_hub(bench: Bench) -> None:
    bench.daemon(once=True)
    assert ScriptedWorker.setup.tries == loop.TRIES_ONCE
    bench.daemon(once=False)
    assert ScriptedWorker.setup.tries is None


def test_healing_shows_in_status_each_time_and_in_the_log_now_and_then(
    bench: Bench, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon = bench.daemon()
    message: dict[str, Any] = {"event": "preparing", "state": "healing", "phase": "fetching", "done": 0, "total": 100}
    for second in range(int(SILENCE * 2)):
        bench.now = float(second)
        daemon._on_preparing(message | {"done": second})
    fact = bench.journal.fact("engine")
    assert (fact["state"], fact["done"]) == ("healing", SILENCE * 2 - 1)
    assert (caplog.text + capsys.readouterr().out).count("healing the model") == 2
    daemon._on_preparing({"event": "loading", "done": 0.5})
    assert bench.journal.fact("engine")["state"] == "loading"
