"""The canary: the shipped picture is read before any page, and a model that cannot read it is
not used.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from ocrd.engine import recognizer
from ocrd.engine.prompt import Prompt
from ocrd.engine.recognizer import DeepSeekOCR
from ocrd.engine.runtime.self_test import run_self_test
from ocrd.errors import EngineError
from ocrd.paths import POCKET_MODEL
from ocrd.worker.startup import CANARY, known_text


@pytest.fixture
def engine() -> Iterator[DeepSeekOCR]:
    """A fresh one each time: these tests spoil it."""
    yield DeepSeekOCR(POCKET_MODEL, device="cpu")


def test_a_good_model_reads_the_known_text(engine: DeepSeekOCR) -> None:
    known = known_text(POCKET_MODEL)
    assert known and run_self_test(engine, CANARY, known=known) == known


def test_a_model_that_reads_garbage_is_refused_with_what_it_read(engine: DeepSeekOCR) -> None:
    with torch.no_grad():
        engine.network.lm_head.weight.copy_(engine.network.lm_head.weight.roll(7, dims=0))
    with pytest.raises(EngineError, match=r"the canary picture was read as .* on cpu in float32"):
        run_self_test(engine, CANARY, known=known_text(POCKET_MODEL))
    run_self_test(engine, CANARY, known=None)  # of a model that nobody knows, no words are expected


def test_scores_that_are_no_numbers_are_refused_of_any_model(engine: DeepSeekOCR) -> None:
    with torch.no_grad():
        engine.network.lm_head.weight[3] = float("nan")
    with pytest.raises(EngineError, match="not finite"):
        run_self_test(engine, CANARY, known=None)


def test_the_text_is_known_of_the_pocket_model_wherever_it_lies(tmp_path: Path) -> None:
    shutil.copytree(POCKET_MODEL, tmp_path / "elsewhere")
    assert known_text(tmp_path / "elsewhere") == known_text(POCKET_MODEL)
    assert known_text(tmp_path) is None
    (tmp_path / "elsewhere/manifest.json").write_text("{")
    assert known_text(tmp_path / "elsewhere") is None


def test_a_tokenizer_that_knows_no_word_of_the_prompt_is_no_crash(
    engine: DeepSeekOCR, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a checkpoint of random weights with a made-up tokenizer has it.

    No token stands after the picture.
    """
    monkeypatch.setattr(recognizer, "encode_prompt", lambda *_, **_options: Prompt((0,), ()))
    assert isinstance(run_self_test(engine, CANARY, known=None), str)
