"""Hooks: the user's own program, with arguments and variables, no shell's line, and no longer
than allowed.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import psutil
import pytest

from ocrd.daemon import hooks
from ocrd.daemon.hooks import Outcome, environment, run_hook
from ocrd.journal import Job
from ocrd.types import Fingerprint


def python(*lines: str) -> list[str]:
    return [sys.executable, "-c", "\n".join(lines)]


def run(
    command: list[str], file: Path = Path("/a b/$(touch x);'\".png"), *, seconds: float = 20.0
) -> Outcome:
    return run_hook(
        command, {"OCRD_EVENT": "done"}, file=file, seconds=seconds, stopping=lambda: False
    )


def job(path: Path, sidecars: tuple[Path, ...]) -> Job:
    return Job(
        "j1",
        path,
        None,
        Fingerprint(1, 2, 3, 4),
        "failed",
        0,
        1,
        "damaged",
        "cut short",
        5.0,
        sidecars,
    )


def test_the_file_is_the_last_argument_however_it_is_called() -> None:
    outcome = run([*python("import json, sys; print(json.dumps(sys.argv[1:]))"), "one"])
    assert outcome.good
    assert json.loads(outcome.said) == ["one", "/a b/$(touch x);'\".png"]


def test_what_happened_is_in_its_environment(tmp_path: Path) -> None:
    sidecars = [tmp_path / "a.png.json", tmp_path / "a.png.txt"]
    for path in sidecars:
        path.touch()
    told = environment(job(tmp_path / "a.png", (*sidecars, tmp_path / "a.png.md")))
    assert told == {
        "OCRD_EVENT": "failed",
        "OCRD_FILE": str(tmp_path / "a.png"),
        "OCRD_JOB": "j1",
        "OCRD_REASON": "damaged",
        "OCRD_MESSAGE": "cut short",
        "OCRD_JSON": str(sidecars[0]),
        "OCRD_TXT": str(sidecars[1]),
    }
    command = python("import os; print(os.environ['OCRD_TXT'], os.environ['HOME'])")
    outcome = run_hook(command, told, file=tmp_path / "a.png", seconds=20.0, stopping=lambda: False)
    assert outcome.said == f"{sidecars[1]} {os.environ['HOME']}"


def test_a_name_that_is_no_utf8_reaches_it_as_it_lies_on_disk() -> None:
    outcome = run(
        python("import os, sys; print(os.fsencode(sys.argv[1]))"), Path(os.fsdecode(b"/z\xff.png"))
    )
    assert outcome.said == "b'/z\\xff.png'"


def test_one_that_takes_too_long_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    child = f"open({str(pids)!r}, 'w').write(str(os.getpid())); signal.signal(15, signal.SIG_IGN); time.sleep(60)"
    outcome = run(
        python(
            "import subprocess, sys, time",
            f"subprocess.Popen([sys.executable, '-c', 'import os, signal, time; ' + {child!r}])",
            "print('begun', flush=True); time.sleep(60)",
        ),
        seconds=2.0,
    )
    assert (outcome.code, outcome.said) == (None, "begun") and "longer than 2 s" in outcome.why
    deadline = time.monotonic() + 5
    while psutil.pid_exists(int(pids.read_text())) and time.monotonic() < deadline:
        time.sleep(0.05)
    gone = not psutil.pid_exists(int(pids.read_text()))
    assert gone or psutil.Process(int(pids.read_text())).status() == psutil.STATUS_ZOMBIE


def test_a_stop_ends_it_at_once() -> None:
    started = time.monotonic()
    outcome = run_hook(
        python("import time; time.sleep(60)"),
        {},
        file=Path("/a"),
        seconds=60.0,
        stopping=lambda: True,
    )
    assert time.monotonic() - started < 5 and outcome.code is None and "stopped" in outcome.why


def test_it_may_say_as_much_as_it_likes_and_only_the_beginning_is_kept() -> None:
    outcome = run(
        python("import sys", "for _ in range(3000): sys.stdout.write('x' * 1000)", "sys.exit(3)")
    )
    assert (outcome.code, outcome.said) == (3, "x" * hooks.KEPT)


def test_what_it_leaves_in_the_background_does_not_hold_it_up(tmp_path: Path) -> None:
    started = time.monotonic()
    outcome = run(["/bin/sh", "-c", "sleep 30 & echo begun"])
    assert outcome == Outcome(0, "begun") and time.monotonic() - started < 10


def test_one_that_closes_its_output_is_waited_for(tmp_path: Path) -> None:
    outcome = run(["/bin/sh", "-c", "exec >&- 2>&-; sleep 0.5; exit 4"])
    assert outcome.code == 4


@pytest.mark.parametrize("command", [["/nowhere/hook"], ["/etc/passwd"], ["/tmp"]])
def test_one_that_cannot_be_started_says_why(command: list[str]) -> None:
    outcome = run(command)
    assert outcome.code is None and "cannot be started" in outcome.why
