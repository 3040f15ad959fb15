"""A worker whose messages a test scripts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scripted_worker import ScriptedWorker


@pytest.fixture
def scripted_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedWorker]:
    scripted_worker = ScriptedWorker(tmp_path, monkeypatch)
    yield scripted_worker
    scripted_worker.end()
