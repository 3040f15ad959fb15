"""A home on a fake Mac."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.launchd.install import remove
from tests.integration.service.mac_home import MacHome


@pytest.fixture
def mac(tmp_path: Path) -> Iterator[MacHome]:
    mac = MacHome(tmp_path / "me")
    yield mac
    remove(mac.folder)
