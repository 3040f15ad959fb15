"""Hashes are compared with the hub's, and correct files are not hashed again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ocrd.model.hashes import HashCache, file_matches, file_signature
from ocrd.model.manifest import ManifestEntry
from ocrd.model.verify import bytes_to_hash, verify


def test_a_small_file_is_compared_with_its_git_blob_id(tmp_path: Path) -> None:
    path = tmp_path / "extra.json"
    path.write_bytes(b'{"a": 1}')
    # What `git hash-object` prints for these eight bytes.
    entry = ManifestEntry(8, blob_id="4a036f56bb619924ec4189bd84ed716c766971ae")
    assert file_matches(path, entry)
    path.write_bytes(b'{"a": 2}')
    assert not file_matches(path, entry)


def test_a_file_of_another_size_is_not_hashed(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"12345")
    hashed: list[int] = []
    entry = ManifestEntry(4, sha256="0" * 64)
    assert not file_matches(path, entry, on_bytes=hashed.append) and hashed == []


def test_a_changed_file_is_not_in_the_cache_any_more(tmp_path: Path, cache: HashCache) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"1234")
    entry = ManifestEntry(4, sha256="0" * 64)
    cache.add(path, entry, signature=file_signature(path))
    assert cache.contains(path, entry)
    os.utime(path, (1, 1))
    assert not cache.contains(path, entry)


def test_the_cache_survives_a_restart(model: Path, cache: HashCache, cache_file: Path) -> None:
    verify(model, cache)
    cache.save()
    assert bytes_to_hash(model, HashCache(cache_file), full=False) == 0


@pytest.mark.parametrize("content", ["[1, ", "[" * 100_000, "{", "[1]", '{"x": 1}'])
def test_a_damaged_cache_costs_one_hashing(model: Path, cache_file: Path, content: str) -> None:
    cache_file.parent.mkdir()
    cache_file.write_text(content)
    assert bytes_to_hash(model, HashCache(cache_file), full=False) > 10_000_000
    assert verify(model, HashCache(cache_file)).ok


def test_files_that_were_removed_leave_the_cache(
    model: Path, cache: HashCache, cache_file: Path
) -> None:
    verify(model, cache)
    (model / "model.safetensors").unlink()
    cache.save()
    assert "model.safetensors" not in cache_file.read_text()
