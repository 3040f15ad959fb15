"""The same commands on Linux: a user unit of systemd."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ocrd.errors import ExitCode
from tests.demo_pictures import DRAWN, PICTURES
from tests.fakes import systemctl as fake_systemctl
from tests.integration.conftest import Home, wait_until

PROGRAM = f"""\
#!{sys.executable}
from tests.fork_server.client import use_forked_workers
use_forked_workers()
from ocrd.__main__ import main
main()
"""


class ServerHome(Home):
    """A home on a Linux server."""

    def __init__(self, home: Path) -> None:
        program = home / ".local/bin/ocrd"
        program.parent.mkdir(parents=True)
        program.write_text(PROGRAM)
        program.chmod(0o755)
        self.folder = home.parent / "systemd"
        systemctl = fake_systemctl.install(self.folder)
        super().__init__(home, program, FAKE_SYSTEMD=str(self.folder), XDG_RUNTIME_DIR=str(home))
        self.environment["PATH"] = f"{systemctl.parent}:{self.environment['PATH']}"
        self.unit = home / ".config/systemd/user/ocrd.service"

    def take_calls(self) -> list[str]:
        """Return the calls of systemctl since the last time, as lines."""
        path = self.folder / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return [" ".join(json.loads(line)[1:]) for line in lines]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerHome]:
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux has systemd")
    server = ServerHome(tmp_path / "me")
    yield server
    pid = server.folder / "pid"
    if pid.exists():
        with contextlib.suppress(ProcessLookupError):
            os.killpg(int(pid.read_text()), signal.SIGKILL)


def test_from_install_to_uninstall_with_systemd(server: ServerHome) -> None:
    assert f"would write {server.unit}" in server.call("install", "--pocket", "--dry-run")
    assert not server.unit.exists()
    assert server.take_calls() == []
    output = server.call("install", "--pocket")
    assert "started the service (systemd, pid" in output
    assert server.take_calls() == [
        "show-environment",
        "daemon-reload",
        "enable ocrd.service",
        "restart ocrd.service",
    ]
    status = server.status()
    assert status["by"] == "systemd"
    assert status["service"]["loaded"]
    assert not status["service"]["disabled"]
    picture = Path(shutil.copyfile(PICTURES / "greeting.png", server.home / "a.png"))
    assert "a.png: done" in server.call("submit", "--wait", str(picture))
    assert (server.home / "a.png.txt").read_text().rstrip("\n") == DRAWN["greeting.png"]

    server.take_calls()
    output = server.call("uninstall")
    assert f"removed {server.unit}" in output
    assert not server.unit.exists()
    calls = server.take_calls()
    stop = calls.index("stop ocrd.service")
    assert stop < calls.index("disable ocrd.service") < calls.index("daemon-reload")
    assert (server.home / "a.png.json").exists()
    assert server.config.exists()
    assert not server.status()["running"]
    assert "was not running" in server.call("uninstall")


def test_start_stop_and_restart_with_systemd(server: ServerHome) -> None:
    server.call("install", "--pocket")
    first = server.status()["pid"]
    server.take_calls()
    assert "already running" in server.call("install")
    assert server.take_calls() == [
        "show-environment",
        "is-active ocrd.service",
        "is-enabled ocrd.service",
    ]
    assert server.status()["pid"] == first
    assert "restarted" in server.call("restart")
    assert "restart ocrd.service" in server.take_calls()
    assert server.status()["pid"] != first
    assert "stopped the service" in server.call("stop")
    assert "was not running" in server.call("stop")
    assert "start it with: ocrd start" in server.call("status")
    assert "started the service" in server.call("start")


def test_without_a_session_nothing_is_written_and_the_error_says_what_to_do(
    server: ServerHome,
) -> None:
    (server.folder / "no_bus").touch()
    output = server.call("install", "--pocket", code=ExitCode.SERVICE)
    assert "loginctl enable-linger" in output
    assert not server.unit.exists()
    assert not server.config.parent.exists()


def test_an_invalid_configuration_ends_with_a_code_that_systemd_does_not_restart(
    server: ServerHome,
) -> None:
    server.call("install", "--pocket")
    server.config.write_text(server.config.read_text() + "\n[dance]\n")
    assert "the service started and ended" in server.call("restart", code=ExitCode.SERVICE)
    assert "RestartPreventExitStatus=2 4 5" in server.unit.read_text()
    wait_until(lambda: not server.status()["running"], "the end")
    assert "dance" in server.status()["last_error"]["message"]
