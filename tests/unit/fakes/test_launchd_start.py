"""How the fake launchd starts a process: bootstrap, its environment, failures, KeepAlive."""

from __future__ import annotations

import os
import plistlib
import subprocess
import time
from typing import Any

import pytest

from tests.unit.fakes.launchd_client import (
    DOMAIN,
    LABEL,
    SLEEP,
    TARGET,
    Launchd,
    failed_with,
    wait_until,
)

# bootstrap


def test_a_second_bootstrap_is_an_input_output_error_and_starts_nothing(launchd: Launchd) -> None:
    launchd.bootstrap(SLEEP)
    second = launchd("bootstrap", DOMAIN, launchd.write_plist(SLEEP))
    assert failed_with(second, 5, message="Bootstrap failed: 5: Input/output error")
    assert len(launchd.history("started")) == 1


def test_of_simultaneous_bootstraps_one_succeeds(launchd: Launchd) -> None:
    plist = launchd.write_plist(SLEEP)
    command = [str(launchd.launchctl), "bootstrap", DOMAIN, str(plist)]
    processes = [subprocess.Popen(command, stderr=subprocess.DEVNULL) for _ in range(4)]
    assert sorted(process.wait(20) for process in processes) == [0, 5, 5, 5]
    assert len(launchd.history("started")) == 1


@pytest.mark.parametrize("content", [b"{not a plist", plistlib.dumps({}), None])
def test_a_missing_file_or_one_that_is_not_a_plist_cannot_be_bootstrapped(
    launchd: Launchd, content: bytes | None
) -> None:
    path = launchd.folder / f"{LABEL}.plist"
    if content is not None:
        path.write_bytes(content)
    refused = launchd("bootstrap", DOMAIN, path)
    assert failed_with(refused, 5, message="Bootstrap failed: 5: Input/output error")
    assert launchd.is_gone()


@pytest.mark.parametrize(
    "keys",
    [
        {"Label": "org.example.other"},
        {"Label": None},
        {"ProgramArguments": None},
        {"ProgramArguments": ["ls", 1]},
        {"EnvironmentVariables": {"A": 1}},
        {"KeepAlive": {"Crashed": True}},
    ],
)
def test_a_plist_that_launchd_does_not_understand_cannot_be_bootstrapped(
    launchd: Launchd, keys: dict[str, Any]
) -> None:
    assert launchd("bootstrap", DOMAIN, launchd.write_plist(SLEEP, **keys)).returncode == 5
    assert launchd.is_gone()


def test_bootstrap_answers_when_the_process_runs(launchd: Launchd) -> None:
    os.mkfifo(launchd.out)  # opening it for writing waits for a reader
    plist = launchd.write_plist("echo runs")
    command = [str(launchd.launchctl), "bootstrap", DOMAIN, str(plist)]
    with subprocess.Popen(command) as waits:
        time.sleep(0.2)
        early = waits.poll()
        assert launchd.out.read_text() == "runs\n"
        assert early is None
        assert waits.wait(20) == 0


def test_without_run_at_load_the_service_is_registered_and_waits(launchd: Launchd) -> None:
    launchd.bootstrap(SLEEP, RunAtLoad=False)
    completed = launchd("print", TARGET)
    assert completed.returncode == 0
    assert "state = not running" in completed.stdout
    assert "\tpid = " not in completed.stdout
    assert not launchd.history("started")


def test_keep_alive_starts_the_service_even_without_run_at_load(launchd: Launchd) -> None:
    launchd.bootstrap(SLEEP, RunAtLoad=None, KeepAlive={"SuccessfulExit": False})
    assert "state = running" in launchd("print", TARGET).stdout


def test_a_script_can_register_the_service_without_a_pid_until_kickstart(launchd: Launchd) -> None:
    launchd.write_script(no_pid=True)
    launchd.bootstrap(SLEEP, KeepAlive=True)
    completed = launchd("print", TARGET)
    assert completed.returncode == 0
    assert "\tpid = " not in completed.stdout
    assert not launchd.history("started")
    launchd("kickstart", TARGET)
    assert f"pid = {launchd.pid()}" in launchd("print", TARGET).stdout


# The process's environment


def test_the_process_has_launchds_environment_and_not_the_shells(launchd: Launchd) -> None:
    plist = launchd.write_plist("env; echo", EnvironmentVariables={"MINE": "1"})
    home = {"HOME": "/home/x", "USER": "x", "SHELL": "/bin/zsh", "TMPDIR": "/tmp"}
    assert launchd("bootstrap", DOMAIN, plist, FROM_THE_SHELL="1", **home).returncode == 0
    found = dict(line.split("=", 1) for line in launchd.output("\n\n").splitlines() if line)
    for name in ("PWD", "OLDPWD", "SHLVL", "_"):  # the job's own shell sets these
        found.pop(name, None)
    assert found == home | {
        "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
        "XPC_SERVICE_NAME": LABEL,
        "MINE": "1",
    }


def test_a_passed_variable_comes_from_bootstrap_and_the_plist_takes_precedence(
    launchd: Launchd,
) -> None:
    (launchd.root / "pass_environment").write_text("ONE\nTWO\nTHREE\n")
    plist = launchd.write_plist("echo $ONE $TWO $THREE.", EnvironmentVariables={"TWO": "plist"})
    launchd("bootstrap", DOMAIN, plist, ONE="bootstrap", TWO="bootstrap")
    assert launchd.output() == "bootstrap plist .\n"
    launchd("kickstart", "-k", TARGET, ONE="kickstart")
    assert launchd.output("\nb") == "bootstrap plist .\n" * 2


@pytest.mark.parametrize("folder", [None, "/usr"])
def test_the_process_starts_in_its_working_directory_or_in_the_root(
    launchd: Launchd, folder: str | None
) -> None:
    launchd.bootstrap("pwd -P", WorkingDirectory=folder)
    assert launchd.output() == f"{folder or '/'}\n"


def test_the_output_is_appended(launchd: Launchd) -> None:
    launchd.out.write_text("before\n")
    err = launchd.folder / "err"
    launchd.bootstrap("echo out; echo err >&2", StandardErrorPath=str(err))
    assert launchd.output("out") == "before\nout\n"
    launchd.wait_for("exited")
    assert err.read_text() == "err\n"


def test_a_program_without_a_slash_is_searched_for_on_launchds_path_only(launchd: Launchd) -> None:
    mine = launchd.folder / "only-mine"
    mine.write_text("#!/bin/sh\n")
    mine.chmod(0o755)
    path = {"PATH": f"{launchd.folder}:/usr/bin:/bin"}
    launchd.bootstrap("", ProgramArguments=["only-mine"], EnvironmentVariables=path)
    assert launchd.wait_for("exited")["code"] == 78
    launchd("bootout", TARGET)
    wait_until(launchd.is_gone)
    launchd.bootstrap("", ProgramArguments=["sh", "-c", "echo found"], EnvironmentVariables=path)
    assert launchd.output() == "found\n"


# Failed starts and restarts


@pytest.mark.parametrize(
    "keys",
    [
        {"ProgramArguments": ["/no/such/program"]},
        {"ProgramArguments": ["/etc/passwd"]},
        {"StandardOutPath": "/no/such/folder/log"},
        {"StandardErrorPath": "~/Library/Logs/log"},
        {"WorkingDirectory": "/no/such/folder"},
    ],
)
def test_a_failed_start_is_exit_code_78_and_bootstrap_reports_nothing(
    launchd: Launchd, keys: dict[str, Any]
) -> None:
    launchd.bootstrap(SLEEP, **keys)
    exited = launchd.wait_for("exited")
    del exited["at"]
    assert exited == {"label": LABEL, "event": "exited", "pid": None, "code": 78}
    description = launchd("print", TARGET).stdout
    assert "last exit code = 78: EX_CONFIG" in description
    assert "state = not running" in description
    assert not launchd.history("started")


@pytest.mark.parametrize(
    ("keep_alive", "shell", "restarts"),
    [
        (None, "exit 3", False),
        (True, "exit 0", True),
        ({"SuccessfulExit": False}, "exit 0", False),
        ({"SuccessfulExit": False}, "exit 3", True),
        ({"SuccessfulExit": False}, "kill -KILL $$", True),
        ({"SuccessfulExit": True}, "exit 0", True),
    ],
)
def test_keep_alive_decides_whether_the_process_is_restarted(
    launchd: Launchd, keep_alive: object, shell: str, restarts: bool
) -> None:
    launchd.bootstrap(shell, KeepAlive=keep_alive)
    launchd.wait_for("exited")
    description = launchd("print", TARGET).stdout
    assert ("state = spawn scheduled" in description) is restarts
    assert ("state = not running" in description) is not restarts


@pytest.mark.parametrize(("plist", "script"), [(0.2, None), (60, 0.2)])
def test_the_throttle_interval_passes_between_two_starts(
    launchd: Launchd, plist: float, script: float | None
) -> None:
    launchd.write_script(**({} if script is None else {"throttle": script}))
    launchd.bootstrap("exit 1", KeepAlive={"SuccessfulExit": False}, ThrottleInterval=plist)
    launchd.wait_for("started", 2)
    first, second = (entry["at"] for entry in launchd.history("started")[:2])
    assert 0.18 < second - first < 5  # the interval is measured with one clock, `at` with another


def test_each_start_and_exit_is_in_the_history(launchd: Launchd) -> None:
    before = time.time()
    launchd.bootstrap("exit 3")
    launchd.wait_for("exited")
    [started] = launchd.history("started")
    [exited] = launchd.history("exited")
    assert started["pid"] == exited["pid"]
    assert before <= started["at"] <= exited["at"] <= time.time()
    assert started["code"] is None
    assert exited["code"] == 3
    assert started["label"] == exited["label"] == LABEL
