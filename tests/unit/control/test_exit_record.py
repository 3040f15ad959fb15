"""The record of the daemon's last exit, and the exit code that a service manager gets."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from ocrd.control.exit_record import (
    clear_last_exit,
    read_last_exit,
    record_exit,
    service_exit_code,
)
from ocrd.errors import ConfigError, EngineError, ModelError, OcrdError, ServiceError, UsageError


def test_the_last_exit_is_kept_until_the_next_start(tmp_path: Path) -> None:
    assert read_last_exit(tmp_path) is None
    before = time.time()
    record_exit(tmp_path / "state", ConfigError(os.fsdecode(b"/no-utf8-\xff: fix it")))
    ended = read_last_exit(tmp_path / "state")
    assert ended is not None
    assert before <= ended.at
    assert ended.code == 4
    assert ended.message.endswith(": fix it")
    clear_last_exit(tmp_path / "state")
    assert read_last_exit(tmp_path / "state") is None


def test_a_record_that_cannot_be_read_or_written_is_none(tmp_path: Path) -> None:
    (tmp_path / "last-exit.json").write_text('{"at": 1}')
    assert read_last_exit(tmp_path) is None
    (tmp_path / "file").touch()
    record_exit(tmp_path / "file/below", ConfigError("where nothing can be written"))
    assert read_last_exit(tmp_path / "file/below") is None


def test_an_unexpected_error_is_recorded_with_its_class(tmp_path: Path) -> None:
    record_exit(tmp_path, IsADirectoryError(21, "Is a directory", "ocrd.log"))
    ended = read_last_exit(tmp_path)
    assert ended is not None
    assert ended.code == 1
    assert "IsADirectoryError" in ended.message


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError, 0),
        (ConfigError, 0),
        (ModelError, 0),
        (EngineError, 6),
        (ServiceError, 7),
        (OcrdError, 1),
    ],
)
def test_launchd_gets_0_for_a_permanent_error_and_never_78(
    error: type[OcrdError], code: int
) -> None:
    assert service_exit_code(error.exit_code) == code
    assert all(service_exit_code(other) != 78 for other in range(78))
