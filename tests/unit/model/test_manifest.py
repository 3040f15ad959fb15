"""A manifest names only files of a model, with sizes and hashes that a hub can mean."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ocrd.errors import ModelError
from ocrd.model.manifest import (
    MANIFEST_FILE,
    ManifestEntry,
    is_model_file,
    read_manifest,
    write_manifest,
)


@pytest.mark.parametrize(
    "name", ["../config.json", "/etc/passwd.json", "a/b.json", ".x.json", "weights.bin", "x.pt"]
)
def test_a_manifest_cannot_name_a_file_outside_the_folder_or_a_pickle(
    model: Path, name: str
) -> None:
    assert not is_model_file(name)
    data = {"repo": "a/b", "revision": None, "files": {name: {"size": 1, "sha256": "0" * 64}}}
    (model / MANIFEST_FILE).write_text(json.dumps(data))
    with pytest.raises(ModelError, match="not a model's file"):
        read_manifest(model)


def test_a_written_manifest_is_read_unchanged(model: Path) -> None:
    manifest = read_manifest(model)
    assert manifest is not None
    changed = replace(manifest, revision="1" * 40)
    write_manifest(model, changed)
    assert read_manifest(model) == changed


def test_a_folder_without_a_manifest_has_none(tmp_path: Path) -> None:
    assert read_manifest(tmp_path) is None
    assert read_manifest(tmp_path / "missing") is None


@pytest.mark.parametrize("size", [-1, 10**14, True])
def test_an_impossible_size_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="not a file's size"):
        ManifestEntry(size, sha256="0" * 64)


@pytest.mark.parametrize("hashes", [{}, {"sha256": "x" * 64}, {"blob_id": "0" * 39}])
def test_an_entry_needs_a_hash(hashes: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="no hash"):
        ManifestEntry(1, **hashes)
