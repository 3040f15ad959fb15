"""Inboxes in temporary folders."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.inbox.box import Box


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "inbox").mkdir()
    return tmp_path / "inbox"


@pytest.fixture
def boxes() -> Iterator[list[Box]]:
    made: list[Box] = []
    yield made
    for box in made:
        box.inbox.stop()


@pytest.fixture
def box(root: Path, boxes: list[Box]) -> Box:
    boxes.append(Box(root))
    return boxes[0].ready()
