"""What the backend does while it gets ready is published every time, and logged now and then."""

from __future__ import annotations

from pathlib import Path

import pytest

from ocrd.daemon.engine_status import HEALING_LOG_INTERVAL_S, EngineStatusPublisher
from ocrd.journal import Journal
from ocrd.status import EngineLoading, ModelProgress


def test_healing_is_published_each_time_and_logged_now_and_then(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = Journal(tmp_path)
    now = 0.0
    publisher = EngineStatusPublisher(journal, lambda: now)
    for second in range(int(HEALING_LOG_INTERVAL_S * 2)):
        now = float(second)
        status = ModelProgress("healing", "fetching", second, 100, None, None)
        publisher.publish(status)
        assert journal.status.engine() == status
    assert (caplog.text + capsys.readouterr().out).count("healing the model") == 2
    publisher.publish(EngineLoading(0.5))
    assert journal.status.engine() == EngineLoading(0.5)


def test_progress_of_a_download_is_remembered_until_the_next_start(tmp_path: Path) -> None:
    publisher = EngineStatusPublisher(Journal(tmp_path), lambda: 0.0)
    publisher.publish(ModelProgress("healing", "fetching", 0, 100, None, None))
    assert not publisher.downloaded
    publisher.publish(ModelProgress("healing", "fetching", 1, 100, None, None))
    publisher.publish(ModelProgress("healing", "checking", 1, 100, None, None))
    assert publisher.downloaded
    publisher.expect_start()
    assert not publisher.downloaded


def test_a_journal_that_cannot_be_written_does_not_end_a_healing(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    publisher = EngineStatusPublisher(journal, lambda: 0.0)
    journal.close()
    publisher.publish(EngineLoading(0.5))
