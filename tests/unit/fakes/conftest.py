"""A fake launchd for each test, without processes afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.launchd.install import remove
from tests.unit.fakes.launchd_client import Launchd


@pytest.fixture
def launchd(tmp_path: Path) -> Iterator[Launchd]:
    folder = tmp_path / "bin"
    yield Launchd(folder)
    remove(folder)
