"""What the daemon publishes is what another process reads."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from ocrd.journal import FILE_NAME, Journal
from ocrd.status import (
    DaemonStatus,
    EngineLoading,
    EngineReady,
    EngineStarting,
    EngineStatus,
    EngineStopped,
    EngineUnloaded,
    ModelProgress,
    WaitingForModel,
)
from ocrd.types import BackendInfo, ModelIdentity

BACKEND = BackendInfo(
    "mps", "float32", "auto", "2.13.0", "5.23.0", ModelIdentity("a/b", None), ("cuda: absent",)
)


@pytest.mark.parametrize(
    "status",
    [
        EngineStarting(),
        ModelProgress("healing", "fetching", 5, 10, 2.5, None),
        WaitingForModel("no network", 30.0),
        EngineLoading(0.5),
        EngineReady(BACKEND, 42, 1000.0),
        EngineUnloaded(1000.0),
        EngineStopped(),
    ],
)
def test_each_state_of_the_engine_is_read_as_it_was_published(
    tmp_path: Path, status: EngineStatus
) -> None:
    Journal(tmp_path).status.publish_engine(status)
    assert Journal(tmp_path).status.engine() == status


def test_a_daemon_that_ended_as_asked_is_not_there(tmp_path: Path) -> None:
    board = Journal(tmp_path).status
    assert board.daemon() is None
    board.publish_daemon(DaemonStatus(7, 1000.0, "launchd"))
    assert board.daemon() == DaemonStatus(7, 1000.0, "launchd")
    board.publish_daemon(None)
    assert board.daemon() is None


def test_the_users_request_and_the_actual_pause_are_two_things(tmp_path: Path) -> None:
    board = Journal(tmp_path).status
    board.request_pause(pause=True)
    assert board.pause_requested() and board.pause_reason() is None
    board.publish_pause("by hand")
    board.request_pause(pause=False)
    assert not board.pause_requested() and board.pause_reason() == "by hand"


@pytest.mark.parametrize("value", ['{"state": "flying"}', '{"state": "loading"}', "[]", "not JSON"])
def test_a_status_of_another_version_counts_as_absent(tmp_path: Path, value: str) -> None:
    board = Journal(tmp_path).status
    board.publish_engine(EngineStarting())
    with sqlite3.connect(tmp_path / FILE_NAME) as database:
        database.execute("UPDATE status SET value = ? WHERE name = 'engine'", (value,))
    assert board.engine() is None
