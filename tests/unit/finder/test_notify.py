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
def osascript_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with the arguments of each call of a fake osascript, one JSON list per line."""
    calls = tmp_path / "calls"
    program = tmp_path / "osascript"
    program.write_text(
        f"#!{sys.executable}\nimport json, sys\n"
        f"with open({str(calls)!r}, 'a') as file: print(json.dumps(sys.argv[1:]), file=file)\n"
    )
    program.chmod(0o755)
    monkeypatch.setitem(system_commands.PROGRAMS, "osascript", str(program))
    return calls


def wait_for(path: Path) -> list[list[str]]:
    deadline = time.monotonic() + 10
    while not (path.exists() and path.read_text().endswith("\n")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_many_files_make_one_notification_with_the_failures_first(osascript_calls: Path) -> None:
    now = 100.0
    queue = notify.NotificationQueue(lambda: now)
    for number in range(40):
        queue.add(f"{number}.png", read=number not in (7, 9))
    assert queue.due_in() == notify.QUIET_S
    queue.show()
    ((*script, text, title),) = wait_for(osascript_calls)
    assert title == "ocrd"
    assert text == "2 failed: 7.png, 9.png. 38 read: 0.png, 1.png, 2.png and 35 more"
    assert script == [x for line in notify.SCRIPT for x in ("-e", line)]
    assert queue.due_in() is None


def test_a_notification_waits_for_quiet_but_not_for_ever() -> None:
    now = 0.0
    queue = notify.NotificationQueue(lambda: now)
    while now < 59:
        queue.add("a.png", read=True)
        assert queue.due_in() == min(notify.QUIET_S, notify.MAX_DELAY_S - now)
        now += 1.0
    now = 61.0
    assert queue.due_in() == 0.0


HOSTILE_NAME = '"; do shell script "touch /tmp/owned" --.png'


def test_a_name_that_looks_like_a_script_is_an_argument(osascript_calls: Path) -> None:
    queue = notify.NotificationQueue()
    queue.add(HOSTILE_NAME, read=False)
    queue.show()
    ((*script, text, _),) = wait_for(osascript_calls)
    assert HOSTILE_NAME in text
    assert not any(HOSTILE_NAME in line for line in script)


@given(
    st.lists(st.text(min_size=1), max_size=5), st.lists(st.text(min_size=1), min_size=1, max_size=5)
)
def test_the_text_is_never_taken_for_an_option_and_is_a_single_line(
    failed: list[str], read: list[str]
) -> None:
    text = notify.notification_text(failed, read)
    assert text[0].isdigit()
    assert text.isprintable()


def test_an_osascript_that_fails_or_is_missing_is_only_a_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(
        notify._log, "warning", lambda event, **_: warnings.append(event), raising=False
    )
    for program in ("/bin/false", "/nowhere/osascript"):
        monkeypatch.setitem(system_commands.PROGRAMS, "osascript", program)
        notify._display("text")
    assert len(warnings) == 2
