"""Notifications: one for many files, failures first, and a file's name is never code."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrd import system_commands
from ocrd.finder import notify


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the arguments of the fake osascript go, a JSON list for each call."""
    told = tmp_path / "told"
    program = tmp_path / "osascript"
    program.write_text(
        f"#!{sys.executable}\nimport json, sys\n"
        f"with open({str(told)!r}, 'a') as file: print(json.dumps(sys.argv[1:]), file=file)\n"
    )
    program.chmod(0o755)
    monkeypatch.setitem(system_commands.PROGRAMS, "osascript", str(program))
    return told


def wait_for(path: Path) -> list[list[str]]:
    deadline = time.monotonic() + 10
    while not (path.exists() and path.read_text().endswith("\n")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_many_files_make_one_notification_with_the_failures_first(said: Path) -> None:
    now = 100.0
    notices = notify.Notices(lambda: now)
    for number in range(40):
        notices.add(f"{number}.png", read=number not in (7, 9))
    assert notices.due_in() == notify.QUIET
    notices.show()
    ((*script, text, title),) = wait_for(said)
    assert title == "ocrd"
    assert text == "2 failed: 7.png, 9.png. 38 read: 0.png, 1.png, 2.png and 35 more"
    assert script == [x for line in notify.SCRIPT for x in ("-e", line)]
    assert notices.due_in() is None


def test_it_waits_for_quiet_but_not_for_ever() -> None:
    now = 0.0
    notices = notify.Notices(lambda: now)
    while now < 59:
        notices.add("a.png", read=True)
        assert notices.due_in() == min(notify.QUIET, notify.LONGEST_WAIT - now)
        now += 1.0
    now = 61.0
    assert notices.due_in() == 0.0


HOSTILE = '"; do shell script "touch /tmp/owned" --.png'


def test_a_name_that_looks_like_a_script_is_an_argument(said: Path) -> None:
    notices = notify.Notices()
    notices.add(HOSTILE, read=False)
    notices.show()
    ((*script, text, _),) = wait_for(said)
    assert HOSTILE in text and not any(HOSTILE in line for line in script)


@given(
    st.lists(st.text(min_size=1), max_size=5), st.lists(st.text(min_size=1), min_size=1, max_size=5)
)
def test_what_is_shown_is_never_taken_for_an_option_and_has_one_line(
    failed: list[str], read: list[str]
) -> None:
    text = notify.words(failed, read)
    assert text[0].isdigit() and text.isprintable()


def test_an_osascript_that_fails_or_is_not_there_is_no_trouble(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    warned: list[str] = []
    monkeypatch.setattr(
        notify._log, "warning", lambda event, **_: warned.append(event), raising=False
    )
    for program in ("/bin/false", "/nowhere/osascript"):
        monkeypatch.setitem(system_commands.PROGRAMS, "osascript", program)
        notify._display("text")
    assert len(warned) == 2
