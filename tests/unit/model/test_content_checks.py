"""The contents of a model's files are checked, and a problem is named."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ocrd.checkpoint_format.weight_files import INDEX_FILE
from ocrd.model.expected import ExpectedModel
from ocrd.model.hashes import HashCache
from ocrd.model.manifest import MANIFEST_FILE
from ocrd.model.remote_code_check import MODELING_FILE
from ocrd.model.report import Report
from ocrd.model.verify import verify
from tests.published import GOOD_CODE
from tests.unit.model.changes import edit_config, edit_manifest

BAD_CODE = "def f(x, m, y):\n    x.masked_scatter_(m.cuda(), y)\n"
# Deeper than the interpreter's limit of recursion.
DEEP_JSON = "[" * 200_000
DEEP_CODE = f"def f(x, m, y):\n    y = y.to(a{'.b' * 900})\n    x.masked_scatter_(m, y)\n"


def state_of_code(report: Report) -> str:
    return {check.name: check.state for check in report.checks}["published code"]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def edit_text(path: Path, old: str, *, new: str) -> None:
    path.write_text(path.read_text().replace(old, new))


def replace_by_pipe(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def set_config_size(model: Path, size: int) -> None:
    edit_manifest(model, lambda files: files["config.json"].update(size=size))


@pytest.mark.parametrize(
    ("damage", "check", "message"),
    [
        (lambda m: (m / "model.safetensors").unlink(), "model.safetensors", "missing"),
        (lambda m: (m / "model.safetensors").unlink(), "weights", "no weights"),
        (lambda m: truncate(m / "model.safetensors"), "model.safetensors", "bytes"),
        (lambda m: truncate(m / "model.safetensors"), "weights", "its header needs"),
        (
            lambda m: edit_text(m / "config.json", "deepseek_vl_v2", new="llama_like_v2x"),
            "configuration",
            "model_type",
        ),
        (
            lambda m: edit_text(m / "config.json", "DeepseekOCRForCausalLM", new="SomethingElse"),
            "configuration",
            "DeepseekOCR",
        ),
        (lambda m: edit_config(m, moe_intermediate_size=200), "tensors", "misshapen"),
        (lambda m: edit_config(m, num_attention_heads=0), "configuration", "heads is 0"),
        (
            lambda m: edit_config(m, num_hidden_layers=10**9),
            "configuration",
            "layers is 1000000000",
        ),
        (lambda m: edit_config(m, hidden_size=-1), "configuration", "size is -1"),
        (lambda m: (m / "config.json").write_text(DEEP_JSON), "configuration", "cannot be read"),
        (lambda m: replace_by_pipe(m / "config.json"), "configuration", "not a plain file"),
        (lambda m: (m / INDEX_FILE).write_text(DEEP_JSON), "weights", "index"),
        (lambda m: (m / INDEX_FILE).write_text('{"weight_map": {"x": 1}}'), "weights", "index"),
        (lambda m: (m / MANIFEST_FILE).write_text(DEEP_JSON), "manifest", "cannot be read"),
        (lambda m: (m / MANIFEST_FILE).write_text('{"files": 3}'), "manifest", "not a manifest"),
        (lambda m: replace_by_pipe(m / MANIFEST_FILE), "manifest", "not a plain file"),
        (lambda m: set_config_size(m, 10**400), "manifest", "not a file's size"),
        (lambda m: replace_by_pipe(m / "tokenizer.json"), "tokenizer", "missing"),
        (lambda m: (m / "tokenizer.json").write_text("{}"), "tokenizer", "is not a tokenizer"),
        (lambda m: (m / "tokenizer.json").unlink(), "tokenizer", "missing"),
        (lambda m: replace_by_pipe(m / MODELING_FILE), "published code", "not a plain file"),
        (shutil.rmtree, "folder", "does not exist"),
    ],
)
def test_a_problem_is_named(
    model: Path, cache: HashCache, damage: Callable[[Path], object], check: str, message: str
) -> None:
    damage(model)
    found = {failure.name: failure.found for failure in verify(model, cache).failures}
    assert message in found[check]


@pytest.mark.parametrize(
    ("code", "is_pinned", "state"),
    [
        (GOOD_CODE, True, "ok"),
        (BAD_CODE, True, "fail"),
        (BAD_CODE, False, "warn"),
        ("def (", True, "fail"),
        (DEEP_CODE, False, "warn"),
    ],
)
def test_unsuitable_code_is_an_error_only_at_the_pinned_revision(
    model: Path, cache: HashCache, code: str, is_pinned: bool, state: str
) -> None:
    (model / MODELING_FILE).write_text(code)
    report = verify(model, cache, expected=ExpectedModel(is_pinned=is_pinned))
    assert state_of_code(report) == state


def test_code_with_the_hubs_own_hash_is_never_an_error(model: Path, cache: HashCache) -> None:
    """The code is not run, so a surprise at the pinned revision must not stop it."""
    (model / MODELING_FILE).write_text(BAD_CODE)
    blob = b"blob %d\0%s" % (len(BAD_CODE), BAD_CODE.encode())
    entry = {"size": len(BAD_CODE), "blob_id": hashlib.sha1(blob).hexdigest()}
    edit_manifest(model, lambda files: files.update({MODELING_FILE: entry}))
    report = verify(model, cache, expected=ExpectedModel(is_pinned=True))
    assert report.ok and state_of_code(report) == "warn"
