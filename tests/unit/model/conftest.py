"""A copy of the pocket model, and an empty cache of hashes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ocrd.model.hashes import HashCache
from ocrd.paths import POCKET_MODEL

FILES = ("config.json", "model.safetensors", "tokenizer.json", "manifest.json")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    for name in FILES:
        shutil.copyfile(POCKET_MODEL / name, folder / name)
    return folder


@pytest.fixture
def cache_file(tmp_path: Path) -> Path:
    return tmp_path / "state/hashes.json"


@pytest.fixture
def cache(cache_file: Path) -> HashCache:
    return HashCache(cache_file)
