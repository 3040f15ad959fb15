"""Encode a prompt as the token ids before and after the image."""

from __future__ import annotations

from dataclasses import dataclass

from tokenizers import Tokenizer

from ocrd.errors import ModelError
from ocrd.tasks import IMAGE


@dataclass(frozen=True)
class Prompt:
    """Token ids before and after the image tokens."""

    before: tuple[int, ...]
    after: tuple[int, ...]


def encode_prompt(text: str, tokenizer: Tokenizer, *, bos: int) -> Prompt:
    """Split ``text`` at ``<image>`` and encode both sides.

    Args:
        text: The prompt, with one ``<image>``.
        tokenizer: The model's tokenizer.
        bos: Id of the start token, which comes first.

    Raises:
        ModelError: The tokenizer has no ``<image>`` token, so it belongs to another model.
    """
    if tokenizer.token_to_id(IMAGE) is None:
        raise ModelError(f"tokenizer.json has no {IMAGE} token, so it is not DeepSeek-OCR's")
    before, _, after = text.partition(IMAGE)
    return Prompt(
        before=(bos, *tokenizer.encode(before, add_special_tokens=False).ids),
        after=tuple(tokenizer.encode(after, add_special_tokens=False).ids),
    )
