"""Prompts as token ids around the picture, and the tokens by which an answer is understood."""

from __future__ import annotations

from dataclasses import dataclass

from tokenizers import Tokenizer

from ocrd.engine.decode import TABLE_CELLS, SpecialTokens
from ocrd.errors import ModelError
from ocrd.tasks import IMAGE

# What empty rows of a table are written with.
EMPTY_ROWS = ("<td>", "</td>", "<tr>", "</tr>", "\n")


@dataclass(frozen=True)
class Prompt:
    """Token ids before and after the picture's own tokens."""

    before: tuple[int, ...]
    after: tuple[int, ...]


def encode_prompt(text: str, tokenizer: Tokenizer, *, bos: int) -> Prompt:
    """Split ``text`` at its one picture and encode both sides; the start token comes first.

    Raises ModelError when the tokenizer has no ``<image>`` token, so it belongs to another model.
    """
    if tokenizer.token_to_id(IMAGE) is None:
        raise ModelError(f"tokenizer.json has no {IMAGE} token, so it is not DeepSeek-OCR's")
    before, _, after = text.partition(IMAGE)
    return Prompt(
        before=(bos, *tokenizer.encode(before, add_special_tokens=False).ids),
        after=tuple(tokenizer.encode(after, add_special_tokens=False).ids),
    )


def find_special_tokens(tokenizer: Tokenizer) -> SpecialTokens:
    """The ids of the tags, and of what empty table rows are written with."""
    rows = (tokenizer.encode(text, add_special_tokens=False).ids for text in EMPTY_ROWS)
    return SpecialTokens(
        det_open=tokenizer.token_to_id("<|det|>"),
        det_close=tokenizer.token_to_id("<|/det|>"),
        ref_open=tokenizer.token_to_id("<|ref|>"),
        cells=TABLE_CELLS | {ids[0] for ids in rows if len(ids) == 1},
    )
