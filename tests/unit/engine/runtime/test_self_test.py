"""The self-test: a model that cannot read the shipped picture is not used."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from ocrd.engine import recognizer
from ocrd.engine.prompt import Prompt
from ocrd.engine.recognizer import DeepSeekOCR
from ocrd.engine.runtime.self_test import SelfTest
from ocrd.errors import EngineError
from ocrd.paths import POCKET_MODEL
from ocrd.worker.startup import SELF_TEST_PICTURE, self_test_text

KNOWN = SelfTest(SELF_TEST_PICTURE, self_test_text(POCKET_MODEL))
UNKNOWN = SelfTest(SELF_TEST_PICTURE, None)


@pytest.fixture
def engine() -> DeepSeekOCR:
    """A new one for each test, because these tests break it."""
    return DeepSeekOCR(POCKET_MODEL, device="cpu")


def test_a_good_model_reads_the_expected_text(engine: DeepSeekOCR) -> None:
    assert KNOWN.expected_text and KNOWN.run(engine) == KNOWN.expected_text


def test_a_model_that_reads_garbage_is_refused_with_what_it_read(engine: DeepSeekOCR) -> None:
    with torch.no_grad():
        engine.network.lm_head.weight.copy_(engine.network.lm_head.weight.roll(7, dims=0))
    with pytest.raises(EngineError, match=r"the self-test read .* on cpu in float32"):
        KNOWN.run(engine)
    UNKNOWN.run(engine)  # of an unknown model, no words are expected


def test_logits_that_are_not_finite_are_refused_of_any_model(engine: DeepSeekOCR) -> None:
    with torch.no_grad():
        engine.network.lm_head.weight[3] = float("nan")
    with pytest.raises(EngineError, match="not finite"):
        UNKNOWN.run(engine)


def test_the_text_is_known_for_the_pocket_model_in_any_folder(tmp_path: Path) -> None:
    shutil.copytree(POCKET_MODEL, tmp_path / "elsewhere")
    assert self_test_text(tmp_path / "elsewhere") == self_test_text(POCKET_MODEL)
    assert self_test_text(tmp_path) is None
    (tmp_path / "elsewhere/manifest.json").write_text("{")
    assert self_test_text(tmp_path / "elsewhere") is None


def test_a_tokenizer_that_knows_no_word_of_the_prompt_does_not_crash(
    engine: DeepSeekOCR, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for a checkpoint with a made-up tokenizer: no token follows the image."""
    monkeypatch.setattr(recognizer, "encode_prompt", lambda *_, **_options: Prompt((0,), ()))
    assert isinstance(UNKNOWN.run(engine), str)
