"""A prompt is encoded around its image."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from ocrd import paths
from ocrd.checkpoint_format.tokenizer import load_tokenizer
from ocrd.engine.prompt import encode_prompt
from ocrd.errors import ModelError
from ocrd.tasks import prompt_text


def test_the_start_token_comes_before_the_image_and_the_words_after_it() -> None:
    tokenizer = load_tokenizer(paths.POCKET_MODEL)
    prompt = encode_prompt(prompt_text("text"), tokenizer, bos=0)
    assert prompt.before == (0,)
    assert tokenizer.decode(list(prompt.after), skip_special_tokens=False) == "\nFree OCR. "


def test_a_tokenizer_without_an_image_token_is_another_models() -> None:
    tokenizer = Tokenizer(WordLevel({"word": 0}, unk_token="word"))
    with pytest.raises(ModelError, match="no <image> token"):
        encode_prompt(prompt_text("text"), tokenizer, bos=0)
