"""How the fake launchd stops and restarts a process: bootout, kickstart, kill, removal."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.fakes.launchd.install import remove
from tests.unit.fakes.launchd_client import (
    DOMAIN,
    SLEEP,
    STUBBORN,
    TARGET,
    Launchd,
    failed_with,
    is_alive,
    wait_until,
)

# bootout


def test_bootout_of_a_service_that_is_not_registered_is_no_such_process(launchd: Launchd) -> None:
    message = "Boot-out failed: 3: No such process"
    assert failed_with(launchd("bootout", TARGET), 3, message=message)


def test_bootout_answers_immediately_and_a_stubborn_process_is_killed_after_its_timeout(
    launchd: Launchd,
) -> None:
    launchd.bootstrap(STUBBORN, ExitTimeOut=1, KeepAlive=True)
    launchd.output("ready")
    asked = time.time()
    assert launchd("bootout", TARGET).returncode == 0
    assert "state = SIGTERMed" in launchd("print", TARGET).stdout
    assert is_alive(launchd.pid())
    message = "Boot-out failed: 36: Operation now in progress"
    assert failed_with(launchd("bootout", TARGET), 36, message=message)
    exited = launchd.wait_for("exited")
    assert exited["code"] == -signal.SIGKILL
    assert 0.9 < exited["at"] - asked < 4
    assert launchd.is_gone()
    assert len(launchd.history("started")) == 1, "KeepAlive has no effect after a bootout"


def test_bootout_sends_sigterm_and_the_service_is_gone_when_its_process_has_ended(
    launchd: Launchd,
) -> None:
    shell = "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.02; done"
    launchd.bootstrap(shell, KeepAlive=True)
    launchd.output("ready")
    launchd("bootout", TARGET)
    wait_until(launchd.is_gone)
    assert launchd.output("bye") == "ready\nbye\n"
    assert launchd.history("exited")[0]["code"] == 0
    launchd.bootstrap(SLEEP)
    assert is_alive(launchd.pid())


def test_the_rest_of_a_jobs_process_group_dies_with_it(launchd: Launchd) -> None:
    launchd.bootstrap("sleep 60 & echo $!")
    wait_until(lambda: not is_alive(int(launchd.output())))
    assert launchd.wait_for("exited")["code"] == 0


def test_a_draining_service_is_still_found_for_a_few_polls(launchd: Launchd) -> None:
    launchd.write_script(drain_polls=3)
    launchd.bootstrap(SLEEP)
    launchd("bootout", TARGET)
    launchd.wait_for("exited")
    assert launchd("bootout", TARGET).returncode == 36
    assert launchd("kickstart", TARGET).returncode == 37
    assert launchd("bootstrap", DOMAIN, launchd.write_plist(SLEEP)).returncode == 5
    assert [launchd("print", TARGET).returncode for _ in range(4)] == [0, 0, 0, 113]
    assert launchd("bootstrap", DOMAIN, launchd.write_plist(SLEEP)).returncode == 0


# kickstart and kill


@pytest.mark.parametrize("verb", [["kickstart"], ["kickstart", "-k"], ["kill", "SIGTERM"]])
def test_a_service_that_is_not_registered_can_neither_be_started_nor_killed(
    launchd: Launchd, verb: list[str]
) -> None:
    assert failed_with(launchd(*verb, TARGET), 113, message="Could not find service")


def test_kickstart_starts_a_waiting_service_and_does_nothing_to_a_running_one(
    launchd: Launchd,
) -> None:
    launchd.bootstrap(SLEEP, RunAtLoad=False)
    assert launchd("kickstart", TARGET).returncode == 0
    pid = launchd.pid()
    assert is_alive(pid)
    assert launchd("kickstart", TARGET).returncode == 0
    assert is_alive(pid)
    assert len(launchd.history("started")) == 1


def test_kickstart_k_terminates_then_kills_and_starts_what_was_registered(
    launchd: Launchd,
) -> None:
    launchd.bootstrap(STUBBORN, ExitTimeOut=0.2)
    launchd.output("ready")
    launchd.write_plist("echo of the new plist")
    asked = time.time()
    first = launchd.pid()
    assert launchd("kickstart", "-k", TARGET).returncode == 0
    assert not is_alive(first)
    assert is_alive(launchd.pid())
    exited = launchd.history("exited")[0]
    assert exited["code"] == -signal.SIGKILL
    assert exited["at"] - asked > 0.18
    assert launchd.output("ready\nready") == "ready\nready\n"


def test_kickstart_k_does_not_kill_a_process_that_ends_on_sigterm(launchd: Launchd) -> None:
    launchd.bootstrap(SLEEP)
    for _ in range(2):
        launchd("kickstart", "-k", TARGET)
    assert [entry["code"] for entry in launchd.history("exited")] == [-signal.SIGTERM] * 2


def test_kickstart_does_not_wait_for_the_throttle_interval(launchd: Launchd) -> None:
    launchd.bootstrap("exit 1", KeepAlive=True, ThrottleInterval=60)
    launchd.wait_for("exited")
    assert launchd("kickstart", TARGET).returncode == 0
    launchd.wait_for("started", 2)


@pytest.mark.parametrize("name", ["SIGHUP", "1"])
def test_kill_sends_the_signal_and_the_history_has_it_as_a_negative_code(
    launchd: Launchd, name: str
) -> None:
    launchd.bootstrap(SLEEP)
    assert launchd("kill", name, TARGET).returncode == 0
    assert launchd.wait_for("exited")["code"] == -1
    assert "last terminating signal = Hangup: 1" in launchd("print", TARGET).stdout


def test_kill_without_a_process_is_an_error(launchd: Launchd) -> None:
    launchd.bootstrap(SLEEP, RunAtLoad=False)
    assert failed_with(launchd("kill", "SIGTERM", TARGET), 3, message="No process to signal")


# Removing the fake


def test_removal_leaves_no_process_behind(launchd: Launchd) -> None:
    launchd.bootstrap("trap '' TERM; sleep 60 & echo $!; wait", KeepAlive=True)
    other = launchd.write_plist(SLEEP, label="org.example.other", RunAtLoad=False)
    assert launchd("bootstrap", DOMAIN, other).returncode == 0
    supervisors = [service["supervisor"] for service in launchd.services()]
    processes = [int(launchd.output()), launchd.pid(), *supervisors]
    assert all(map(is_alive, processes))
    assert len(set(processes)) == 4
    for supervisor in supervisors:
        os.kill(supervisor, signal.SIGSTOP)  # the removal must not need its help
    remove(launchd.folder)
    assert not any(map(is_alive, processes))
    assert launchd.is_gone()
    launchd.bootstrap(SLEEP)


def test_removal_from_a_folder_without_a_fake_creates_nothing(tmp_path: Path) -> None:
    (tmp_path / "half-removed" / "launchd").mkdir(parents=True)
    for name in ("gone", "half-removed"):
        remove(tmp_path / name)
    assert [path.name for path in tmp_path.rglob("*")] == ["half-removed", "launchd"]


def test_when_the_folder_is_removed_all_processes_end_and_do_not_create_it_again(
    launchd: Launchd,
) -> None:
    launchd.bootstrap(STUBBORN, KeepAlive=True)
    pid = launchd.pid()
    supervisor = launchd.services()[0]["supervisor"]
    assert is_alive(pid)
    assert is_alive(supervisor)
    shutil.rmtree(launchd.folder)
    wait_until(lambda: not is_alive(pid) and not is_alive(supervisor), timeout_s=2)
    assert not launchd.folder.exists()
