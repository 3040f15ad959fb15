"""Small parts of the service.

Its record, its last words, its log, and the model that goes only when it is asked to.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ocrd import log, paths, system_commands
from ocrd.cli import logs
from ocrd.control.exit_record import (
    LastExit,
    clear_last_exit,
    last_exit,
    record_exit,
    service_exit_code,
)
from ocrd.errors import ConfigError, EngineError, ModelError, OcrdError, ServiceError, UsageError
from ocrd.service.install_record import FILE, Record, read_record
from ocrd.service.installation import Installation
from ocrd.service.manager import Daemon, State
from ocrd.service.templates import Facts
from ocrd.service.uninstall import uninstall


def test_a_record_outlives_its_writer_and_one_that_cannot_be_read_is_empty(tmp_path: Path) -> None:
    record = read_record(tmp_path)
    record.folders.append("/a")
    record.about_to_write(Path("/f"), "1")
    record.about_to_write(Path("/f"), "2")
    again = read_record(tmp_path)
    assert again == record and again.wrote(Path("/f"), "1") and again.wrote(Path("/f"), "2")
    again.written(Path("/f"), "2")
    assert not read_record(tmp_path).wrote(Path("/f"), "1")
    for rubbish in ("", "[]", '{"surprise": 1}', "\xff", '{"files": []}', '{"files": null}', '{"folders": [1]}',
                    '{"files": {"": ["y"]}}', '{"domain": "bogus"}', '{"folders": ["relative"]}'):  # fmt: skip
        (tmp_path / FILE).write_text(rubbish, encoding="latin-1")
        assert read_record(tmp_path) == Record(tmp_path / FILE)


def test_last_words_are_kept_until_the_next_start(tmp_path: Path) -> None:
    assert last_exit(tmp_path) is None
    before = time.time()
    record_exit(tmp_path / "state", ConfigError(os.fsdecode(b"/no-utf8-\xff: mend it")))
    ended = last_exit(tmp_path / "state")
    assert (
        ended is not None
        and before <= ended.at
        and ended.code == 4
        and ended.message.endswith(": mend it")
    )
    clear_last_exit(tmp_path / "state")
    assert last_exit(tmp_path / "state") is None
    (tmp_path / "ended.json").write_text('{"at": 1}')
    assert last_exit(tmp_path) is None
    (tmp_path / "file").touch()
    record_exit(tmp_path / "file/below", ConfigError("where nothing can be written"))
    assert LastExit(1.0, 4, "a") == LastExit(1.0, 4, "a")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (UsageError, 0),
        (ConfigError, 0),
        (ModelError, 0),
        (EngineError, 6),
        (ServiceError, 7),
        (OcrdError, 1),
    ],
)
def test_launchd_is_told_0_of_what_lasts_and_never_78(error: type[OcrdError], told: int) -> None:
    assert service_exit_code(error.exit_code) == told
    assert all(service_exit_code(code) != 78 for code in range(78))


def test_what_nobody_foresaw_is_kept_as_well(tmp_path: Path) -> None:
    record_exit(tmp_path, IsADirectoryError(21, "Is a directory", "ocrd.log"))
    ended = last_exit(tmp_path)
    assert ended is not None and ended.code == 1 and "IsADirectoryError" in ended.message


def test_who_started_us_is_told_from_the_environment() -> None:
    assert system_commands.service_manager({"OCRD_SERVICE": "launchd"}) == "launchd"
    assert system_commands.service_manager({"OCRD_SERVICE": "systemd"}) == "systemd"
    for other in ({}, {"OCRD_SERVICE": ""}, {"XPC_SERVICE_NAME": "0", "INVOCATION_ID": "x"}):
        assert system_commands.service_manager(other) is None


def test_standard_error_is_emptied_under_a_service_only_and_only_when_it_is_a_file(
    tmp_path: Path,
) -> None:
    code = (
        "import os, sys; from ocrd.log import truncate_stderr\n"
        "sys.stderr.write('x' * 5000); sys.stderr.flush()\n"
        "truncate_stderr(int(sys.argv[1])); sys.stderr.write('end'); sys.stderr.flush()\n"
    )

    def left(most: int, **variables: str) -> str:
        path = tmp_path / "launchd.log"
        with path.open("w") as file:  # as launchd may open it: not for appending
            argv = [sys.executable, "-c", code, str(most)]
            subprocess.run(
                argv, env={"PYTHONPATH": str(Path.cwd()), **variables}, stderr=file, check=True
            )
        return path.read_text()

    assert left(1000, OCRD_SERVICE="launchd") == "end"
    assert left(10_000, OCRD_SERVICE="launchd") == "x" * 5000 + "end"
    assert left(1000) == "x" * 5000 + "end"
    assert log.MAX_STDERR_BYTES == 1024 * 1024


LINE = {"event": "the worker died", "component": "worker", "file": "a.png", "level": "warning", "stack": "Traceback\nX",
        "timestamp": "2026-11-26T16:04:12.123Z"}  # fmt: skip


def test_a_line_of_the_log_is_read_by_people(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "CET-1")
    time.tzset()
    try:
        assert logs.readable(json.dumps(LINE)) == (
            "2026-11-26 17:04:12 warning  worker: the worker died  file=a.png\nTraceback\nX"
        )
    finally:
        monkeypatch.undo()
        time.tzset()
    hostile = logs.readable(json.dumps(LINE | {"file": "\x1b[2Ja.png\udcff"}))
    assert "\x1b" not in hostile and "?[2Ja.png" in hostile and hostile.encode()
    for other in ("not json", "[]", '{"event": 1}'):
        assert logs.readable(other) == other


def test_the_last_lines_reach_back_into_the_rotated_file(tmp_path: Path) -> None:
    path = tmp_path / "ocrd.log"
    path.with_name("ocrd.log.1").write_text("1\n2\n3\n")
    path.write_text("4\n5\n")
    assert logs._last(path, 3) == ["3", "4", "5"]
    with contextlib.closing(logs.log_lines(path, 3, sleep=lambda _seconds: None)) as coming:
        assert [next(coming) for _ in range(3)] == ["3", "4", "5"]
    assert logs._last(path, 0) == [] and logs._last(tmp_path / "none.log", 3) == []


def test_following_goes_on_through_a_rotation_and_shows_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "ocrd.log"
    path.write_text("old\n")
    steps = iter(["one\ntw", "o\n", "three\n"])

    def meanwhile(_seconds: float) -> None:
        said = next(steps)
        with path.open("a") as file:
            file.write(said)
        if said == "three\n":
            path.rename(tmp_path / "ocrd.log.1")
            path.write_text("four\n")

    with contextlib.closing(logs.log_lines(path, 1, sleep=meanwhile)) as coming:
        assert [next(coming) for _ in range(5)] == ["old", "one", "two", "three", "four"]


class NoManager:
    """A service that is not running."""

    name = "launchd"

    def __init__(self, file: Path) -> None:
        self.file = file

    def state(self) -> State:
        return State(self.name, self.file, installed=False)

    def stop(self) -> bool:
        return False

    def clear(self) -> None:
        pass


def test_the_model_goes_only_when_it_is_asked_to_and_only_if_it_is_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCRD_STATE_DIR", str(tmp_path / "state"))
    config = tmp_path / "config.toml"
    facts = Facts(Path("/bin/ocrd"), config, tmp_path, tmp_path / "launchd.log")

    def said(*, dry_run: bool = False, **options: bool) -> str:
        manager = NoManager(tmp_path / "local.ocrd.plist")
        order = Installation(config, paths.state_dir(), facts, manager, None, dry_run)  # type: ignore[arg-type]
        return "\n".join(uninstall(order, **options))

    def fetched(revision: str) -> Path:
        folder = tmp_path / "models/deepseek-ai--DeepSeek-OCR" / revision
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.safetensors").write_text("weights")
        return folder

    running = False
    monkeypatch.setattr(Daemon, "running", lambda _self: running)
    config.write_text(f"[model]\nfolder = {json.dumps(str(tmp_path / 'models'))}\n")
    ours = fetched("1e3401a3d4603e9e71ea0ec850bfead602191ec4")
    other = fetched("another")
    said()
    assert ours.exists()
    running = True
    with pytest.raises(ServiceError, match="started by hand"):
        said(model=True)
    running = False
    assert ours.exists()
    assert f"would remove {ours}" in said(dry_run=True, model=True) and ours.exists()
    assert f"removed {ours}" in said(model=True) and not ours.exists() and other.exists()
    mine = tmp_path / "mine"
    mine.mkdir()
    config.write_text(f"[model]\npath = {json.dumps(str(mine))}\n")
    assert "stays" in said(model=True) and mine.exists()
