"""``ocrd logs``: readable lines, and lines that follow the log through its rotation."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path

import pytest

from ocrd.cli import logs

LINE = {
    "event": "the worker died",
    "component": "worker",
    "file": "a.png",
    "level": "warning",
    "stack": "Traceback\nX",
    "timestamp": "2026-11-26T16:04:12.123Z",
}


def test_a_line_of_the_log_is_readable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "CET-1")
    time.tzset()
    try:
        assert logs.readable(json.dumps(LINE)) == (
            "2026-11-26 17:04:12 warning  worker: the worker died  file=a.png\nTraceback\nX"
        )
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_file_name_cannot_control_the_terminal() -> None:
    line = logs.readable(json.dumps(LINE | {"file": "\x1b[2Ja.png\udcff"}))
    assert "\x1b" not in line
    assert "?[2Ja.png" in line
    assert line.encode()


@pytest.mark.parametrize("line", ["not json", "[]", '{"event": 1}'])
def test_a_line_that_ocrd_did_not_write_is_shown_as_it_is(line: str) -> None:
    assert logs.readable(line) == line


def test_the_last_lines_include_the_rotated_file(tmp_path: Path) -> None:
    path = tmp_path / "ocrd.log"
    path.with_name("ocrd.log.1").write_text("1\n2\n3\n")
    path.write_text("4\n5\n")
    assert logs.last_lines(path, 3) == ["3", "4", "5"]
    with contextlib.closing(logs.follow_lines(path, 3, sleep=lambda _seconds: None)) as lines:
        assert [next(lines) for _ in range(3)] == ["3", "4", "5"]
    assert logs.last_lines(path, 0) == []
    assert logs.last_lines(tmp_path / "none.log", 3) == []


def test_following_continues_through_a_rotation_and_shows_complete_lines(tmp_path: Path) -> None:
    path = tmp_path / "ocrd.log"
    path.write_text("old\n")
    writes = iter(["one\ntw", "o\n", "three\n"])

    def write(_seconds: float) -> None:
        text = next(writes)
        with path.open("a") as file:
            file.write(text)
        if text == "three\n":
            path.rename(tmp_path / "ocrd.log.1")
            path.write_text("four\n")

    with contextlib.closing(logs.follow_lines(path, 1, sleep=write)) as lines:
        assert [next(lines) for _ in range(5)] == ["old", "one", "two", "three", "four"]
