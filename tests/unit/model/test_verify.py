"""A model that is whole passes.

One changed byte, one missing piece or another's model is found and named.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ocrd import paths
from ocrd.checkpoint_format.weight_files import INDEX_FILE
from ocrd.config import PINNED_REPO, PINNED_REVISION, ModelConfig
from ocrd.errors import ModelError
from ocrd.model.expected import ExpectedModel, expected_model
from ocrd.model.hashes import HashCache
from ocrd.model.manifest import (
    MANIFEST_FILE,
    Manifest,
    ManifestEntry,
    is_model_file,
    read_manifest,
    write_manifest,
)
from ocrd.model.report import Report
from ocrd.model.verify import bytes_to_hash, verify

FILES = ("config.json", "model.safetensors", "tokenizer.json", "manifest.json")
MENDED = (
    "def f(x, m, y):\n    y = y.to(device=x.device, dtype=x.dtype)\n    x.masked_scatter_(m, y)\n"
)
BROKEN = "def f(x, m, y):\n    x.masked_scatter_(m.cuda(), y)\n"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    for name in FILES:
        shutil.copyfile(paths.POCKET_MODEL / name, folder / name)
    return folder


@pytest.fixture
def memory(tmp_path: Path) -> HashCache:
    return HashCache(tmp_path / "state/hashes.json")


def configure(model: Path, **values: int) -> None:
    config = json.loads((model / "config.json").read_text())
    config["language_config"].update(values)
    (model / "config.json").write_text(json.dumps(config))


def replace_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def set_size(model: Path, size: int) -> None:
    manifest = json.loads((model / "manifest.json").read_text())
    manifest["files"]["config.json"]["size"] = size
    (model / "manifest.json").write_text(json.dumps(manifest))


def failed(report: Report) -> dict[str, str]:
    return {check.name: check.found for check in report.failures}


def flip(path: Path, at: int, *, keep_time: bool = True) -> None:
    """Change one byte; with ``keep_time`` nothing but the bytes can tell."""
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))
    if keep_time:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_the_pocket_model_is_whole(memory: HashCache) -> None:
    report = verify(
        paths.POCKET_MODEL, memory, expected=expected_model(ModelConfig(path="pocket")), full=True
    )
    assert failed(report) == {}
    assert {c.name for c in report.checks} >= {
        "manifest",
        "config.json",
        "weights",
        "tensors",
        "tokenizer",
    }


@pytest.mark.parametrize("at", [0, 5_000_000, -1])
def test_full_verification_finds_one_changed_byte_anywhere(
    model: Path, memory: HashCache, at: int
) -> None:
    assert verify(model, memory, full=True).ok
    weights = model / "model.safetensors"
    flip(weights, at % weights.stat().st_size)
    report = verify(model, memory, full=True)
    assert "hash differs" in failed(report)["model.safetensors"]
    assert "model.safetensors" in report.broken_files
    with pytest.raises(ModelError, match=r"model\.safetensors"):
        report.raise_if_broken()


def test_quick_verification_hashes_only_what_changed_since(model: Path, memory: HashCache) -> None:
    hashed: list[int] = []
    assert verify(model, memory, on_bytes=hashed.append).ok
    assert sum(hashed) == bytes_to_hash(model, memory, full=True)
    hashed.clear()
    assert bytes_to_hash(model, memory, full=False) == 0
    assert verify(model, memory, on_bytes=hashed.append).ok and hashed == []
    flip(model / "model.safetensors", 5_000_000, keep_time=False)
    assert "hash differs" in failed(verify(model, memory))["model.safetensors"]
    assert failed(verify(model, memory)) != {}  # a wrong hash is never remembered as right


def test_the_memory_survives_a_restart_and_a_broken_file_costs_one_hashing(
    model: Path, memory: HashCache, tmp_path: Path
) -> None:
    verify(model, memory)
    memory.save()
    assert bytes_to_hash(model, HashCache(tmp_path / "state/hashes.json"), full=False) == 0
    (tmp_path / "state/hashes.json").write_text("[1, ")
    assert bytes_to_hash(model, HashCache(tmp_path / "state/hashes.json"), full=False) > 10_000_000


def test_a_small_file_is_held_against_its_git_blob_id(model: Path, memory: HashCache) -> None:
    # What `git hash-object` says of these eight bytes.
    (model / "extra.json").write_bytes(b'{"a": 1}')
    entry = ManifestEntry(8, blob_id="4a036f56bb619924ec4189bd84ed716c766971ae")
    write_manifest(model, Manifest("a/b", None, {"extra.json": entry}))
    assert verify(model, memory).ok
    (model / "extra.json").write_bytes(b'{"a": 2}')
    assert list(failed(verify(model, memory))) == ["extra.json"]


def cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])


def other_type(folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(path.read_text().replace("deepseek_vl_v2", "llama_like_v2x"))


def other_architecture(folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(path.read_text().replace("DeepseekOCRForCausalLM", "SomethingElse"))


def wider(folder: Path) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["language_config"]["moe_intermediate_size"] = 200
    path.write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("damage", "check", "words"),
    [
        (lambda m: (m / "model.safetensors").unlink(), "model.safetensors", "missing"),
        (lambda m: (m / "model.safetensors").unlink(), "weights", "no weights"),
        (cut, "model.safetensors", "bytes"),
        (cut, "weights", "its header needs"),
        (other_type, "configuration", "model_type"),
        (other_architecture, "configuration", "DeepseekOCR"),
        (wider, "tensors", "misshapen"),
        (
            lambda m: (m / "config.json").write_text("[" * 200_000),
            "configuration",
            "cannot be read",
        ),
        (lambda m: (m / "manifest.json").write_text("[" * 200_000), "manifest", "cannot be read"),
        (lambda m: (m / INDEX_FILE).write_text("[" * 200_000), "weights", "index"),
        (lambda m: (m / INDEX_FILE).write_text('{"weight_map": {"x": 1}}'), "weights", "index"),
        (lambda m: configure(m, num_attention_heads=0), "configuration", "num_heads is 0"),
        (
            lambda m: configure(m, num_hidden_layers=10**9),
            "configuration",
            "num_layers is 1000000000",
        ),
        (lambda m: configure(m, hidden_size=-1), "configuration", "hidden_size is -1"),
        (lambda m: replace_by_pipe(m / "config.json"), "configuration", "not a plain file"),
        (lambda m: replace_by_pipe(m / "manifest.json"), "manifest", "not a plain file"),
        (lambda m: replace_by_pipe(m / "tokenizer.json"), "tokenizer", "missing"),
        (lambda m: os.mkfifo(m / "modeling_deepseekocr.py"), "published code", "not a plain file"),
        (lambda m: set_size(m, 10**400), "manifest", "not a file's size"),
        (lambda m: (m / "tokenizer.json").write_text("{}"), "tokenizer", "is not a tokenizer"),
        (lambda m: (m / "tokenizer.json").unlink(), "tokenizer", "missing"),
        (lambda m: (m / "manifest.json").write_text('{"files": 3}'), "manifest", "not a manifest"),
        (shutil.rmtree, "folder", "does not exist"),
    ],
)
def test_what_is_broken_is_named(
    model: Path, memory: HashCache, damage: Callable[[Path], object], check: str, words: str
) -> None:
    damage(model)
    assert words in failed(verify(model, memory))[check]


def test_another_repositorys_model_is_not_taken_for_ours(model: Path, memory: HashCache) -> None:
    assert "manifest" in failed(
        verify(model, memory, expected=ExpectedModel(repo="deepseek-ai/DeepSeek-OCR"))
    )
    assert "manifest" in failed(verify(model, memory, expected=ExpectedModel(revision="0" * 40)))


def test_a_folder_made_by_hand_is_judged_by_its_contents(model: Path, memory: HashCache) -> None:
    (model / "manifest.json").unlink()
    report = verify(model, memory)
    assert report.ok and [c.name for c in report.checks if c.state == "warn"] == ["manifest"]
    assert "manifest" in failed(verify(model, memory, expected=ExpectedModel(repo="a/b")))


@pytest.mark.parametrize(
    "name", ["../config.json", "/etc/passwd.json", "a/b.json", ".x.json", "weights.bin", "x.pt"]
)
def test_a_manifest_cannot_name_a_file_outside_nor_a_pickle(model: Path, name: str) -> None:
    assert not is_model_file(name)
    files = {name: {"size": 1, "sha256": "0" * 64}}
    (model / MANIFEST_FILE).write_text(
        json.dumps({"repo": "a/b", "revision": None, "files": files})
    )
    with pytest.raises(ModelError, match="not a model's file"):
        read_manifest(model)


def test_a_manifest_comes_back_as_it_was_written(model: Path) -> None:
    written = read_manifest(model)
    assert written is not None
    write_manifest(model, replace(written, revision="1" * 40))
    assert read_manifest(model) == replace(written, revision="1" * 40)


@pytest.mark.parametrize(("code", "pinned", "state"), [
    (MENDED, True, "ok"), (BROKEN, True, "fail"), (BROKEN, False, "warn"), ("def (", True, "fail"),
])  # fmt: skip
def test_the_published_code_must_be_the_mended_one_at_the_pinned_revision_only(
    model: Path, memory: HashCache, code: str, pinned: bool, state: str
) -> None:
    (model / "modeling_deepseekocr.py").write_text(code)
    report = verify(model, memory, expected=ExpectedModel(is_pinned=pinned))
    assert {c.name: c.state for c in report.checks}["published code"] == state


def test_the_published_code_does_not_overrule_the_hubs_own_hash(
    model: Path, memory: HashCache
) -> None:
    """What is at the pinned revision is what is there.

    Ocrd does not run it, so a surprise in it stops nobody.
    """
    (model / "modeling_deepseekocr.py").write_text(BROKEN)
    written = read_manifest(model)
    assert written is not None
    blob = hashlib.sha1(b"blob %d\0" % len(BROKEN) + BROKEN.encode()).hexdigest()
    entry = ManifestEntry(len(BROKEN), blob_id=blob)
    write_manifest(
        model, replace(written, files={**written.files, "modeling_deepseekocr.py": entry})
    )
    report = verify(model, memory, expected=ExpectedModel(is_pinned=True))
    assert report.ok and {c.name: c.state for c in report.checks}["published code"] == "warn"


def test_code_that_is_nested_as_no_program_is_said(model: Path, memory: HashCache) -> None:
    deep = f"def f(x, m, y):\n    y = y.to(a{'.b' * 900})\n    x.masked_scatter_(m, y)\n"
    (model / "modeling_deepseekocr.py").write_text(deep)
    assert {c.name: c.state for c in verify(model, memory).checks}["published code"] == "warn"


def test_a_broken_memory_costs_one_hashing(model: Path, tmp_path: Path) -> None:
    for text in ("[" * 100_000, "{", "[1]", '{"x": 1}'):
        (tmp_path / "hashes.json").write_text(text)
        assert verify(model, HashCache(tmp_path / "hashes.json")).ok


def test_a_folder_that_cannot_be_looked_into_is_said(tmp_path: Path, memory: HashCache) -> None:
    report = verify(tmp_path / ("y" * 300), memory)
    assert "cannot be read" in failed(report)["folder"]


def test_what_the_configuration_promises() -> None:
    assert expected_model(ModelConfig()) == ExpectedModel(
        PINNED_REPO, PINNED_REVISION, is_pinned=True
    )
    assert expected_model(ModelConfig(revision="main")) == ExpectedModel(PINNED_REPO, None)
    assert expected_model(ModelConfig(path="/some/folder")) == ExpectedModel()
