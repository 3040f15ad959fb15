"""A complete model passes; a changed byte, a missing file or another model is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from ocrd import paths
from ocrd.config import ModelConfig
from ocrd.errors import ModelError
from ocrd.model.expected import ExpectedModel, expected_model
from ocrd.model.hashes import HashCache
from ocrd.model.manifest import MANIFEST_FILE
from ocrd.model.report import Report
from ocrd.model.verify import bytes_to_hash, verify
from tests.unit.model.changes import flip_byte

WEIGHTS = "model.safetensors"


def failures(report: Report) -> dict[str, str]:
    return {check.name: check.found for check in report.failures}


def test_the_pocket_model_is_complete(cache: HashCache) -> None:
    expected = expected_model(ModelConfig(path="pocket"))
    report = verify(paths.POCKET_MODEL, cache, expected=expected, full=True)
    assert failures(report) == {}
    names = {check.name for check in report.checks}
    assert names >= {"manifest", "config.json", "weights", "tensors", "tokenizer"}


@pytest.mark.parametrize("offset", [0, 5_000_000, -1])
def test_full_verification_finds_one_changed_byte_anywhere(
    model: Path, cache: HashCache, offset: int
) -> None:
    assert verify(model, cache, full=True).ok
    flip_byte(model / WEIGHTS, offset % (model / WEIGHTS).stat().st_size)
    report = verify(model, cache, full=True)
    assert "hash differs" in failures(report)[WEIGHTS]
    assert WEIGHTS in report.broken_files
    with pytest.raises(ModelError, match=r"model\.safetensors"):
        report.raise_if_broken()


def test_quick_verification_hashes_only_changed_files(model: Path, cache: HashCache) -> None:
    hashed: list[int] = []
    assert verify(model, cache, on_bytes=hashed.append).ok
    assert sum(hashed) == bytes_to_hash(model, cache, full=True)
    hashed.clear()
    assert bytes_to_hash(model, cache, full=False) == 0
    assert verify(model, cache, on_bytes=hashed.append).ok and hashed == []
    flip_byte(model / WEIGHTS, 5_000_000, keep_time=False)
    assert "hash differs" in failures(verify(model, cache))[WEIGHTS]
    assert not verify(model, cache).ok  # a wrong hash is never cached


@pytest.mark.parametrize(
    "expected", [ExpectedModel(repo="deepseek-ai/DeepSeek-OCR"), ExpectedModel(revision="0" * 40)]
)
def test_another_model_is_not_accepted(
    model: Path, cache: HashCache, expected: ExpectedModel
) -> None:
    assert "manifest" in failures(verify(model, cache, expected=expected))


def test_in_a_users_own_folder_only_the_contents_are_checked(model: Path, cache: HashCache) -> None:
    (model / MANIFEST_FILE).unlink()
    report = verify(model, cache)
    assert report.ok
    assert [check.name for check in report.checks if check.state == "warn"] == ["manifest"]
    assert "manifest" in failures(verify(model, cache, expected=ExpectedModel(repo="a/b")))


def test_an_unreadable_folder_is_reported(tmp_path: Path, cache: HashCache) -> None:
    report = verify(tmp_path / ("y" * 300), cache)
    assert "cannot be read" in failures(report)["folder"]


def test_an_error_names_the_first_failures(model: Path, cache: HashCache) -> None:
    for path in model.iterdir():
        if path.name != MANIFEST_FILE:
            path.write_text("{")
    with pytest.raises(ModelError, match=r"is broken: config\.json: 1 bytes, expected .* more$"):
        verify(model, cache).raise_if_broken()
