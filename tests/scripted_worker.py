"""A worker that runs a script: a real process that speaks the protocol as a test decides."""

from __future__ import annotations

import sys
import textwrap
import threading
from pathlib import Path

import pytest

from ocrd.backends.local import LocalBackend
from ocrd.config import Config
from ocrd.status import EngineReady, PreparationStatus
from ocrd.worker.memory_limit import MemoryLimits
from ocrd.worker.messages import WorkerSetup

INTERPRETER = sys.executable
SETUP = WorkerSetup(Config().model, "cpu", "auto", "auto")

# Every script begins with this. `setup` is the setup message, `requests` reads requests and `send`
# sends a message.
PRELUDE = """
import json, os, sys, time
requests = os.fdopen(int(sys.argv[-2]), "rb")
messages = os.fdopen(int(sys.argv[-1]), "wb")
setup = json.loads(requests.readline())

def send(event, **fields):
    messages.write(json.dumps({"event": event, **fields}).encode() + b"\\n")
    messages.flush()

def healing(done):
    send("preparing", status={"state": "healing", "phase": "fetching", "done_bytes": done,
         "total_bytes": 5, "bytes_per_s": None, "remaining_s": None})

def loading(share):
    send("preparing", status={"state": "loading", "share": share})

def ready(**fields):
    send("ready", backend={"device": "cpu", "dtype": "float32", "mode": "native", "torch": "2",
         "transformers": "5", "model": {"repo": "a/b", "revision": None}, **fields})

def page(job="j", index=0):
    send("page", job=job, reading={"index": index, "json": "{}"})
"""


class ScriptedWorker:
    """Runs a script as the worker, so that a test decides which messages it sends."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._monkeypatch = monkeypatch
        # The statuses that the backend published, in order.
        self.statuses: list[PreparationStatus | EngineReady] = []
        self.ended = threading.Event()
        self.backend: LocalBackend | None = None

    def end(self) -> None:
        if self.backend is not None:
            self.backend.stop()
            self.backend.unload()

    def backend_with(
        self,
        script: str,
        *,
        deadline_s: float = 0.5,
        setup: WorkerSetup = SETUP,
        memory_limits: MemoryLimits = MemoryLimits(),  # noqa: B008 - frozen
    ) -> LocalBackend:
        self.end()
        path = self._folder / "worker"
        path.write_text(f"#!{INTERPRETER}\n{PRELUDE}\n{textwrap.dedent(script)}")
        path.chmod(0o755)
        self._monkeypatch.setattr(sys, "executable", str(path))
        self.backend = LocalBackend(
            setup,
            deadline_s,
            on_status=self.statuses.append,
            on_end=self.ended.set,
            memory_limits=memory_limits,
        )
        return self.backend
