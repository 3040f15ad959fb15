"""Check what a model's files contain: configuration, weights, tokenizer, Python code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from ocrd.checkpoint_format.architecture import (
    ARCHITECTURE_PREFIX,
    MODEL_TYPE,
    Architecture,
    read_architecture,
)
from ocrd.checkpoint_format.published_tensors import check_tensors
from ocrd.checkpoint_format.weight_files import find_weight_files, read_headers
from ocrd.errors import ModelError
from ocrd.model.remote_code_check import MODELING_FILE, examine
from ocrd.model.report import Check, CheckState
from ocrd.units import format_size


def check_contents(folder: Path, *, code_decides: bool) -> Iterator[Check]:
    """Check the contents of a model folder, without hashes.

    Args:
        folder: The model folder.
        code_decides: Whether unsuitable Python code is an error, and not only a warning.
    """
    expected = f"model_type {MODEL_TYPE}, architecture {ARCHITECTURE_PREFIX}*"
    architecture: Architecture | None = None
    try:
        architecture = read_architecture(folder)
        decoder = architecture.decoder
        found = f"{decoder.num_layers} layers, {decoder.hidden_size} wide"
        yield Check("configuration", "ok", found, expected)
    except ModelError as error:
        yield Check("configuration", "fail", str(error), expected, "config.json")
    yield from _check_weights(folder, architecture)
    yield _run_check(
        "tokenizer",
        lambda: _describe_tokenizer(folder, architecture),
        expected="loads, knows <image>, fits",
        file="tokenizer.json",
    )
    yield _check_published_code(folder, decides=code_decides)


def _check_weights(folder: Path, architecture: Architecture | None) -> Iterator[Check]:
    expected = "complete safetensors files"
    try:
        tensors = read_headers(find_weight_files(folder))
    except ModelError as error:
        yield Check("weights", "fail", str(error), expected)
        return
    files = {tensor.file for tensor in tensors.values()}
    size = sum(path.stat().st_size for path in files)
    yield Check("weights", "ok", f"{len(tensors)} tensors, {format_size(size)}", expected)
    if architecture is None:
        return
    shapes = {name: tensor.shape for name, tensor in tensors.items()}

    def describe_shapes() -> str:
        check_tensors(shapes, architecture, model_dir=folder)
        return "every tensor, every shape"

    yield _run_check(
        "tensors",
        describe_shapes,
        expected="every tensor that config.json asks for",
        file=next(iter(files)).name if len(files) == 1 else None,
    )


def _describe_tokenizer(folder: Path, architecture: Architecture | None) -> str:
    # Importing it takes a quarter of a second, and few commands need it.
    from ocrd.checkpoint_format.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(folder)
    if tokenizer.token_to_id("<image>") is None:
        raise ModelError("has no <image> token")
    size = tokenizer.get_vocab_size()
    if architecture is not None and size > architecture.decoder.vocab_size:
        raise ModelError(f"{size} tokens, but the model knows {architecture.decoder.vocab_size}")
    return f"{size} tokens"


def _run_check(name: str, describe: Callable[[], str], *, expected: str, file: str | None) -> Check:
    """A check that fails when ``describe`` raises ModelError."""
    try:
        return Check(name, "ok", describe(), expected)
    except ModelError as error:
        return Check(name, "fail", str(error), expected, file)


def _check_published_code(folder: Path, *, decides: bool) -> Check:
    """Check the checkpoint's own Python code.

    Where no hash is known, the code tells the pinned revision from one that fails on a Mac, so it
    decides. Elsewhere it causes a warning only, because ocrd does not run this code.
    """
    name = "published code"
    expected = "image features converted before masked_scatter, no .cuda()"
    bad: CheckState = "fail" if decides else "warn"
    path = folder / MODELING_FILE
    if path.exists() and not path.is_file():
        return Check(name, "fail", "not a plain file", expected, MODELING_FILE)
    try:
        findings = examine(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Check(name, "ok", f"no {MODELING_FILE}; ocrd does not need it", expected)
    except (OSError, ValueError) as error:
        return Check(name, bad, str(error), expected, MODELING_FILE)
    if findings.good:
        return Check(name, "ok", str(findings), expected)
    note = "" if decides else " (ocrd does not run this code; other programs would fail on a Mac)"
    return Check(name, bad, f"{findings}{note}", expected, MODELING_FILE)
