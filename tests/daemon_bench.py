"""A daemon on a temporary inbox, with a backend whose starts a test scripts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ocrd.config import Config, parse_config
from ocrd.daemon import inbox_poller, job_loop
from ocrd.daemon.loop import Daemon
from ocrd.journal import Job, Journal
from ocrd.types import BackendInfo
from tests.job_bench import INFO, ScriptedBackend, reads


class StartingBackend(ScriptedBackend):
    """Each start raises the next error of the script, if any. Loads and unloads are counted."""

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
    """A daemon on a temporary inbox. Its backend is `backend`."""

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


class RunningDaemon:
    """A daemon that runs in a thread. It records each job in `taken` and finishes it."""

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

    def __enter__(self) -> RunningDaemon:
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
