"""The fake launchctl itself: its calls, ``print``, ``enable`` and ``disable``, scripted answers."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil
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


def test_it_runs_from_any_folder_and_ignores_the_environment(
    launchd: Launchd, tmp_path: Path
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit(9)")
    command = f"cd {tmp_path} && bin/launchctl print {TARGET}"
    completed = subprocess.run(
        ["/bin/sh", "-c", command],
        env={"PYTHONPATH": str(tmp_path)},
        check=False,
        capture_output=True,
    )
    assert completed.returncode == 113


def test_every_call_is_recorded_as_it_was_made(launchd: Launchd) -> None:
    calls = [["print", TARGET], ["nonsense", "with spaces"], [], ["kickstart", "-k", TARGET]]
    for call in calls:
        launchd(*call)
    lines = (launchd.root / "calls").read_text().splitlines()
    assert [json.loads(line) for line in lines] == calls


@pytest.mark.parametrize(
    "call",
    [
        [],
        ["load", "a.plist"],
        ["bootout", DOMAIN],
        ["bootout", "--wait", TARGET],
        ["kill", "SIGNONE", TARGET],
    ],
)
def test_an_unknown_call_is_answered_with_the_usage(launchd: Launchd, call: list[str]) -> None:
    assert failed_with(launchd(*call), 64, message="usage: launchctl")


# print


def test_print_shows_the_state_and_the_pid_of_a_real_process(launchd: Launchd) -> None:
    launchd.bootstrap(SLEEP)
    completed = launchd("print", TARGET)
    assert completed.returncode == 0
    assert not completed.stderr
    assert "\tstate = running\n" in completed.stdout
    assert f"\tpid = {launchd.pid()}\n" in completed.stdout
    assert "\tminimum runtime = 10\n" in completed.stdout
    assert "\texit timeout = 5\n" in completed.stdout
    assert psutil.Process(launchd.pid()).cmdline() == ["sleep", "60"]
    assert LABEL in launchd("print", DOMAIN).stdout


def test_print_of_a_service_that_is_not_registered_is_113(launchd: Launchd) -> None:
    message = f'Could not find service "{LABEL}" in domain for user gui: 501'
    assert failed_with(launchd("print", TARGET), 113, message=message)
    launchd.bootstrap(SLEEP)
    assert launchd("print", f"user/501/{LABEL}").returncode == 113


# enable and disable


@pytest.mark.parametrize(("script", "code"), [({}, 119), ({"disabled_is_5": True}, 5)])
def test_a_disabled_service_cannot_be_bootstrapped_until_it_is_enabled(
    launchd: Launchd, script: dict[str, Any], code: int
) -> None:
    launchd.write_script(**script)
    assert launchd("disable", TARGET).returncode == 0
    refused = launchd("bootstrap", DOMAIN, launchd.write_plist(SLEEP))
    assert failed_with(refused, code, message=f"Bootstrap failed: {code}: ")
    assert launchd("enable", TARGET).returncode == 0
    launchd.bootstrap(SLEEP)


@pytest.mark.parametrize(
    ("old", "enabled", "disabled"), [(False, "enabled", "disabled"), (True, "false", "true")]
)
def test_print_disabled_has_the_words_of_new_and_old_releases(
    launchd: Launchd, old: bool, enabled: str, disabled: str
) -> None:
    launchd.write_script(old_words=old)
    launchd("disable", f"{DOMAIN}/off")
    launchd("enable", f"{DOMAIN}/on")
    launchd("disable", "user/501/elsewhere")
    completed = launchd("print-disabled", DOMAIN)
    assert completed.returncode == 0
    assert "elsewhere" not in completed.stdout
    assert f'\t\t"off" => {disabled}\n' in completed.stdout
    assert f'\t\t"on" => {enabled}\n' in completed.stdout


def test_of_simultaneous_changes_none_is_lost(launchd: Launchd) -> None:
    labels = [f"org.example.{number}" for number in range(4)]
    processes = [
        subprocess.Popen([launchd.launchctl, "disable", f"{DOMAIN}/{label}"]) for label in labels
    ]
    assert [process.wait(20) for process in processes] == [0] * 4
    listing = launchd("print-disabled", DOMAIN).stdout
    assert all(f'"{label}" => disabled' in listing for label in labels)


# What a test may ask for


def test_scripted_answers_are_given_in_order_and_nothing_else_is_done(launchd: Launchd) -> None:
    io_error = "Bootstrap failed: 5: Input/output error"
    launchd.write_script(
        answers=[
            {"verb": "bootstrap", "code": 5, "stderr": io_error, "times": 2},
            {"verb": "bootstrap", "code": 37, "stderr": "again"},
            {"verb": "print", "code": 1, "stderr": "odd", "times": 0},
        ]
    )
    plist = launchd.write_plist(SLEEP)
    for code, message in [(5, io_error), (5, io_error), (37, "again")]:
        assert failed_with(launchd("bootstrap", DOMAIN, plist), code, message=message)
        assert launchd.is_gone()
        assert not launchd.history("started")
    assert launchd("bootstrap", DOMAIN, plist).returncode == 0


def test_a_scripted_answer_can_delay_its_caller_but_no_other(launchd: Launchd) -> None:
    launchd.write_script(answers=[{"verb": "bootout", "hang": 0.3}])
    started = time.monotonic()
    with subprocess.Popen([launchd.launchctl, "bootout", TARGET]) as slow:
        wait_until((launchd.root / "calls").exists)
        assert launchd.is_gone()
        assert slow.poll() is None
        assert slow.wait(20) == 0
    assert time.monotonic() - started >= 0.3
    assert launchd("bootout", TARGET).returncode == 3


def test_a_domain_that_does_not_exist_has_its_own_exit_codes(launchd: Launchd) -> None:
    launchd.write_script(no_domain=[DOMAIN])
    message = "Could not find domain for user gui: 501"
    plist = launchd.write_plist(SLEEP)
    for call in (
        ["bootstrap", DOMAIN, plist],
        ["bootout", TARGET],
        ["kickstart", "-k", TARGET],
        ["print-disabled", DOMAIN],
    ):
        assert failed_with(launchd(*call), 125, message=message), call
    assert failed_with(launchd("print", TARGET), 112, message=message)
    assert failed_with(launchd("print", DOMAIN), 112, message=message)
    assert launchd("bootstrap", "user/501", plist).returncode == 0
