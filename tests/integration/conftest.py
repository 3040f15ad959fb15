"""A real daemon in its own process, on a temporary inbox, with the pocket model."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from tests.demo_pictures import PICTURES
from tests.fakes.gpu import FakeGpu
from tests.fork_server.client import (
    SERVERS,
    Process,
    run_program,
    start_program,
)

TIMEOUT_S = 60.0


def wait_until(condition: Callable[[], object], what: str, *, timeout_s: float = TIMEOUT_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s} s for {what}"
        time.sleep(0.1)


class Service:
    """The daemon as a user sees it: a folder, a configuration and a process."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.inbox = home / "inbox"
        self.inbox.mkdir()
        self.config = home / "config.toml"
        self.log = home / "stderr.log"
        self.environment = {
            **os.environ,
            "OCRD_STATE_DIR": str(home / "state"),
            "OCRD_CONFIG": str(self.config),
        }
        self.process: Process | None = None
        # The module that runs as ``ocrd``.
        self.program = "ocrd"
        self.engine: dict[str, Any] = {"device": "cpu"}
        self.model: dict[str, str] = {"path": "pocket"}
        self.configure()

    def configure(self, *more: dict[str, Any], **first: Any) -> None:
        """Settings of the first inbox, and ``more`` inboxes."""
        tables = [{"path": str(self.inbox), "settle": 0.3} | first, *more]
        settings = {"model": self.model, "engine": self.engine, "inbox": tables}
        self.config.write_text(tomli_w.dumps(settings), encoding="utf-8")

    def start(self, *options: str) -> None:
        with self.log.open("ab") as log:
            self.process = start_program(
                self.program, "run", *options, environment=self.environment, stderr=log
            )

    def run_once(self) -> int:
        """Read every file in the inboxes and return the exit code."""
        self.start("--once")
        assert self.process is not None
        code = self.process.wait(timeout=TIMEOUT_S)
        self.process = None
        return code

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(timeout=20)
        self.process = None
        return code

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run_program(self.program, *arguments, environment=self.environment)

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.call("status", "--json").stdout)
        return found

    def drop(self, name: str, picture: str = "greeting.png") -> Path:
        path = self.inbox / name
        shutil.copyfile(PICTURES / picture, path)
        return path

    def wait_for_sidecar(self, picture: Path) -> dict[str, Any]:
        path = picture.with_name(picture.name + ".json")
        wait_until(path.exists, f"{path.name}; the log says {self.log.read_text()[-3000:]}")
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return document

    def sidecars(self) -> list[str]:
        return sorted(
            p.name for p in self.inbox.rglob("*") if p.suffix in (".txt", ".json", ".md", ".tmp")
        )


class Home:
    """A home in which ocrd is installed. ``program`` runs with only ``environment``."""

    def __init__(self, home: Path, program: Path, **environment: str) -> None:
        self.home = home
        self.program = program
        self.environment = {
            "HOME": str(home),
            "USER": "me",
            "PATH": f"{program.parent}:/usr/bin:/bin",
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "OMP_NUM_THREADS": "1",
            **{name: os.environ[name] for name in (SERVERS,) if name in os.environ},
            **environment,
        }
        self.inbox = home / "OCR/inbox"
        self.config = home / ".config/ocrd/config.toml"

    def call(self, *arguments: str, code: int = 0) -> str:
        """Run a command and return its standard output, followed by its standard error."""
        done = run_program(self.program, *arguments, environment=self.environment, folder=self.home)
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.call("status", "--json"))
        return found


@pytest.fixture(autouse=True)
def _real_processes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.node.get_closest_marker("real_processes"):
        monkeypatch.delenv(SERVERS, raising=False)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = Service(tmp_path)
    yield service
    if service.process is not None:
        service.process.kill()
        service.process.wait()


@pytest.fixture
def gpu(service: Service) -> FakeGpu:
    return FakeGpu(service)
