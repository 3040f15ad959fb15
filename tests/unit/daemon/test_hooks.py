"""Hooks: the user's program, with arguments and variables, without a shell, for a limited time."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import psutil
import pytest

from ocrd.daemon import hooks
from ocrd.daemon.hooks import HookResult, hook_variables, run_hook
from ocrd.errors import RefusalReason
from ocrd.journal import Job, JobState
from ocrd.types import Fingerprint


def python(*lines: str) -> list[str]:
    return [sys.executable, "-c", "\n".join(lines)]


def run(
    command: list[str], file: Path = Path("/a b/$(touch x);'\".png"), *, timeout_s: float = 20.0
) -> HookResult:
    return run_hook(
        command,
        file,
        variables={"OCRD_EVENT": "done"},
        timeout_s=timeout_s,
        stopping=lambda: False,
    )


def job(path: Path, sidecars: tuple[Path, ...]) -> Job:
    return Job(
        "j1",
        path,
        None,
        Fingerprint(1, 2, 3, 4),
        JobState.FAILED,
        0,
        1,
        RefusalReason.DAMAGED,
        "cut short",
        5.0,
        sidecars,
    )


def test_the_file_is_the_last_argument_whatever_its_name() -> None:
    result = run([*python("import json, sys; print(json.dumps(sys.argv[1:]))"), "one"])
    assert result.succeeded
    assert json.loads(result.output) == ["one", "/a b/$(touch x);'\".png"]


def test_the_event_is_in_its_environment(tmp_path: Path) -> None:
    sidecars = [tmp_path / "a.png.json", tmp_path / "a.png.txt"]
    for path in sidecars:
        path.touch()
    variables = hook_variables(job(tmp_path / "a.png", (*sidecars, tmp_path / "a.png.md")))
    assert variables == {
        "OCRD_EVENT": "failed",
        "OCRD_FILE": str(tmp_path / "a.png"),
        "OCRD_JOB": "j1",
        "OCRD_REASON": "damaged",
        "OCRD_MESSAGE": "cut short",
        "OCRD_JSON": str(sidecars[0]),
        "OCRD_TXT": str(sidecars[1]),
    }
    command = python("import os; print(os.environ['OCRD_TXT'], os.environ['HOME'])")
    result = run_hook(
        command,
        tmp_path / "a.png",
        variables=variables,
        timeout_s=20.0,
        stopping=lambda: False,
    )
    assert result.output == f"{sidecars[1]} {os.environ['HOME']}"


def test_a_name_that_is_not_utf8_reaches_it_unchanged() -> None:
    result = run(
        python("import os, sys; print(os.fsencode(sys.argv[1]))"), Path(os.fsdecode(b"/z\xff.png"))
    )
    assert result.output == "b'/z\\xff.png'"


def test_a_hook_that_takes_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    child = (
        f"open({str(pids)!r}, 'w').write(str(os.getpid()));"
        " signal.signal(15, signal.SIG_IGN); time.sleep(60)"
    )
    result = run(
        python(
            "import subprocess, sys, time",
            f"subprocess.Popen([sys.executable, '-c', 'import os, signal, time; ' + {child!r}])",
            "print('started', flush=True); time.sleep(60)",
        ),
        timeout_s=2.0,
    )
    assert (result.exit_code, result.output) == (
        None,
        "started",
    ) and "longer than 2 s" in result.error
    deadline = time.monotonic() + 5
    while psutil.pid_exists(int(pids.read_text())) and time.monotonic() < deadline:
        time.sleep(0.05)
    gone = not psutil.pid_exists(int(pids.read_text()))
    assert gone or psutil.Process(int(pids.read_text())).status() == psutil.STATUS_ZOMBIE


def test_a_stopping_daemon_ends_it() -> None:
    started = time.monotonic()
    result = run_hook(
        python("import time; time.sleep(60)"),
        Path("/a"),
        variables={},
        timeout_s=60.0,
        stopping=lambda: True,
    )
    assert time.monotonic() - started < 5 and result.exit_code is None and "stopped" in result.error


def test_only_the_beginning_of_a_long_output_is_kept() -> None:
    result = run(
        python("import sys", "for _ in range(3000): sys.stdout.write('x' * 1000)", "sys.exit(3)")
    )
    assert (result.exit_code, result.output) == (3, "x" * hooks.MAX_OUTPUT_BYTES)


def test_a_background_process_does_not_delay_its_end(tmp_path: Path) -> None:
    started = time.monotonic()
    result = run(["/bin/sh", "-c", "sleep 30 & echo started"])
    assert result == HookResult(0, "started") and time.monotonic() - started < 10


def test_a_hook_that_closes_its_output_is_waited_for(tmp_path: Path) -> None:
    result = run(["/bin/sh", "-c", "exec >&- 2>&-; sleep 0.5; exit 4"])
    assert result.exit_code == 4


@pytest.mark.parametrize("command", [["/nowhere/hook"], ["/etc/passwd"], ["/tmp"]])
def test_a_hook_that_cannot_be_started_says_why(command: list[str]) -> None:
    result = run(command)
    assert result.exit_code is None and "cannot be started" in result.error
