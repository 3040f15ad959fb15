"""The same commands on Linux: a user unit of systemd."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes import systemctl as fake_systemctl
from tests.integration.conftest import DRAWN, PICTURES, Home, wait_until


class Server(Home):
    """A home on a Linux server."""

    def __init__(self, home: Path) -> None:
        program = home / ".local/bin/ocrd"
        program.parent.mkdir(parents=True)
        program.write_text(
            f"#!{sys.executable}\n"
            "from tests.fork_server.client import use_forked_workers\nuse_forked_workers()\n"
            "from ocrd.__main__ import main\nmain()\n"
        )
        program.chmod(0o755)
        self.folder = home.parent / "systemd"
        systemctl = fake_systemctl.install(self.folder)
        super().__init__(home, program, FAKE_SYSTEMD=str(self.folder), XDG_RUNTIME_DIR=str(home))
        self.environment["PATH"] = f"{systemctl.parent}:{self.environment['PATH']}"
        self.unit = home / ".config/systemd/user/ocrd.service"

    def calls(self) -> list[str]:
        path = self.folder / "calls"
        found = (
            [" ".join(json.loads(line)[1:]) for line in path.read_text().splitlines()]
            if path.exists()
            else []
        )
        path.unlink(missing_ok=True)
        return found


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    if not sys.platform.startswith("linux"):
        pytest.skip("systemd is Linux's")
    server = Server(tmp_path / "me")
    yield server
    if (server.folder / "pid").exists():
        try:
            os.killpg(int((server.folder / "pid").read_text()), signal.SIGKILL)
        except ProcessLookupError:
            return


def test_from_install_to_uninstall_with_systemd(server: Server) -> None:
    assert f"would write {server.unit}" in server.call("install", "--pocket", "--dry-run")
    assert not server.unit.exists() and server.calls() == []
    said = server.call("install", "--pocket")
    assert "started the service (systemd, pid" in said
    assert server.calls() == [
        "show-environment",
        "daemon-reload",
        "enable ocrd.service",
        "restart ocrd.service",
    ]
    status = server.status()
    assert (
        status["by"] == "systemd"
        and status["service"]["loaded"]
        and not status["service"]["disabled"]
    )
    picture = Path(shutil.copyfile(PICTURES / "greeting.png", server.home / "a.png"))
    assert "a.png: done" in server.call("submit", "--wait", str(picture))
    assert (server.home / "a.png.txt").read_text().rstrip("\n") == DRAWN["greeting.png"]

    server.calls()
    assert "already running" in server.call("install")
    assert server.calls() == [
        "show-environment",
        "is-active ocrd.service",
        "is-enabled ocrd.service",
    ]
    assert server.status()["pid"] == status["pid"]
    assert "restarted" in server.call("restart")
    assert "restart ocrd.service" in server.calls() and server.status()["pid"] != status["pid"]
    assert "stopped the service" in server.call("stop") and "was not running" in server.call("stop")
    assert "start it with: ocrd start" in server.call("status")
    assert "started the service" in server.call("start")

    server.calls()
    said = server.call("uninstall")
    assert f"removed {server.unit}" in said and not server.unit.exists()
    calls = server.calls()
    assert (
        calls.index("stop ocrd.service")
        < calls.index("disable ocrd.service")
        < calls.index("daemon-reload")
    )
    assert (server.home / "a.png.json").exists() and (
        server.home / ".config/ocrd/config.toml"
    ).exists()
    assert not server.status()["running"]
    assert "was not running" in server.call("uninstall")


def test_without_a_session_the_way_out_is_named_and_nothing_is_written(server: Server) -> None:
    (server.folder / "no_bus").touch()
    assert "loginctl enable-linger" in server.call("install", "--pocket", code=7)
    assert not server.unit.exists() and not (server.home / ".config/ocrd").exists()


def test_a_broken_configuration_ends_it_with_a_code_that_the_unit_does_not_restart(
    server: Server,
) -> None:
    server.call("install", "--pocket")
    config = server.home / ".config/ocrd/config.toml"
    config.write_text(config.read_text() + "\n[dance]\n")
    assert "the service started and ended" in server.call("restart", code=7)
    assert "RestartPreventExitStatus=2 4 5" in server.unit.read_text()
    wait_until(lambda: not server.status()["running"], "the end")
    assert "dance" in server.status()["last_error"]["message"]
