"""Starting, stopping and restarting the installed service, and what survives it."""

from __future__ import annotations

import os
import plistlib
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from ocrd.errors import ExitCode
from tests.demo_pictures import PICTURES
from tests.fork_server.client import start_program
from tests.integration.conftest import wait_until
from tests.integration.service.mac_home import (
    BOOTOUT,
    KICKSTART_K,
    PRINT,
    TARGET,
    MacHome,
)


def test_start_stop_and_restart(mac: MacHome) -> None:
    assert "run: ocrd install" in mac.call("start", code=ExitCode.SERVICE)
    mac.install()
    first = mac.status()["pid"]
    mac.take_calls()
    assert "already running" in mac.call("start")
    assert mac.take_calls() == []
    assert "restarted the service" in mac.call("restart")
    assert mac.take_calls() == [PRINT, KICKSTART_K]
    second = mac.status()["pid"]
    assert second not in (first, None)

    mac.write_script(drain_polls=3)
    mac.take_calls()
    assert "stopped the service" in mac.call("stop")
    first_call, second_call, *polls = mac.take_calls()
    assert [first_call, second_call] == [PRINT, BOOTOUT]
    assert set(polls) == {PRINT}
    assert len(polls) >= 4
    assert not psutil.pid_exists(second)
    assert mac.status()["service"]["loaded"] is False
    assert "was not running" in mac.call("stop")
    assert "stopped; start it with: ocrd start" in mac.call("status")
    assert "started the service" in mac.call("start")


def test_a_restart_loads_a_service_file_that_was_edited(mac: MacHome) -> None:
    mac.install()
    variables = plistlib.loads(mac.plist.read_bytes())["EnvironmentVariables"]
    mac.edit_plist(EnvironmentVariables=variables | {"A": "b"})
    mac.take_calls()
    mac.call("restart")
    calls = mac.take_calls()
    assert BOOTOUT in calls
    assert mac.bootstrap in calls


def test_a_disabled_service_is_enabled_by_a_start(mac: MacHome) -> None:
    mac.install()
    launchctl = str(mac.folder / "launchctl")
    for verb in ("disable", "bootout"):
        subprocess.run([launchctl, verb, TARGET], env=mac.environment, check=True)
    assert mac.status()["service"]["disabled"] is True
    wait_until(lambda: not mac.status()["service"]["loaded"], "the end")
    assert "started the service" in mac.call("start")
    assert mac.status()["service"]["disabled"] is False


def test_a_daemon_that_was_started_by_hand_is_left_alone(mac: MacHome) -> None:
    mac.call("init", "--pocket")
    with (mac.home / "log").open("wb") as log:
        daemon = start_program(mac.program, "run", environment=mac.environment, stderr=log)
    try:
        wait_until(lambda: mac.status()["pid"], "the daemon")
        message = f"started by hand and is running (pid {daemon.pid})"
        assert message in mac.call("install", code=ExitCode.SERVICE)
        assert message in mac.call("stop", code=ExitCode.SERVICE)
        assert daemon.poll() is None
    finally:
        daemon.terminate()
        assert daemon.wait(20) == 0
    assert "started the service" in mac.call("start")


def test_the_service_stops_within_five_seconds_in_the_middle_of_a_page_and_continues_there(
    mac: MacHome,
) -> None:
    mac.install()
    for number in range(12):
        shutil.copyfile(PICTURES / "receipt.png", mac.inbox / f"{number}.png")
    wait_until(lambda: mac.status()["jobs"]["running"], "a running job", timeout_s=100)
    started = time.monotonic()
    mac.call("stop")
    assert time.monotonic() - started < 6
    assert mac.exit_codes() == [0]
    assert mac.status()["jobs"]["running"] == 0
    mac.call("start")
    for number in range(12):
        wait_until((mac.inbox / f"{number}.png.json").exists, f"{number}.png", timeout_s=100)


def test_a_killed_daemon_is_restarted_and_its_page_is_read_again(mac: MacHome) -> None:
    mac.install()
    mac.write_script(throttle=0.2)
    for number in range(5):
        shutil.copyfile(PICTURES / "note.png", mac.inbox / f"{number}.png")
    killed: list[int] = []

    def next_pid() -> int | None:
        status = mac.status()
        return status["pid"] if status["running"] and status["pid"] not in killed else None

    for _ in range(3):
        wait_until(next_pid, "the daemon")
        killed.append(mac.status()["pid"])
        os.kill(killed[-1], signal.SIGKILL)
    for number in range(5):
        wait_until((mac.inbox / f"{number}.png.json").exists, f"{number}.png", timeout_s=100)
    assert mac.exit_codes() == [-signal.SIGKILL] * 3
    assert len(list(mac.inbox.glob("*.txt"))) == 5


def test_launchds_log_is_emptied_at_each_start(mac: MacHome) -> None:
    mac.install()
    (launchd_log,) = mac.home.rglob("launchd.log")
    launchd_log.write_text("printed long ago\n" * 100)
    mac.call("restart")
    assert "long ago" not in launchd_log.read_text()
    (log,) = mac.home.rglob("ocrd.log")
    assert "watching the inbox" in log.read_text()
    assert "watching the inbox" not in launchd_log.read_text()


@pytest.mark.real_processes
def test_a_users_module_in_the_services_folder_is_not_imported(mac: MacHome) -> None:
    """The service runs in the user's home, where there may be a queue.py or a torch/."""
    for name in ("queue.py", "json.py", "torch.py"):
        (mac.home / name).write_text("raise RuntimeError('the module of a user was imported')")
    mac.install()
    picture = Path(shutil.copyfile(PICTURES / "greeting.png", mac.inbox / "a.png"))
    wait_until(picture.with_name("a.png.json").exists, "the sidecar", timeout_s=100)
