"""Token ids with a meaning for decoding: the tags of boxes, and empty table cells."""

from __future__ import annotations

from dataclasses import dataclass

from tokenizers import Tokenizer

# ``<td>`` and ``</td>`` of the published tokenizer. Empty table cells repeat legitimately, so the
# n-gram guard exempts them (vLLM's recipe).
TABLE_CELLS = frozenset({128821, 128822})
# Text of which empty table rows consist.
_EMPTY_ROW_TEXTS = ("<td>", "</td>", "<tr>", "</tr>", "\n")


@dataclass(frozen=True)
class SpecialTokens:
    """Token ids that the repetition detector treats differently; None where there is no such token.

    Attributes:
        det_open: ``<|det|>``, before coordinates.
        det_close: ``<|/det|>``, after coordinates.
        ref_open: ``<|ref|>``, at the start of a block.
        table_cells: Tokens of empty table rows, which repeat legitimately.
    """

    det_open: int | None = None
    det_close: int | None = None
    ref_open: int | None = None
    table_cells: frozenset[int] = TABLE_CELLS


def find_special_tokens(tokenizer: Tokenizer) -> SpecialTokens:
    """Look up the special tokens in ``tokenizer``."""
    encoded = (tokenizer.encode(text, add_special_tokens=False).ids for text in _EMPTY_ROW_TEXTS)
    return SpecialTokens(
        det_open=tokenizer.token_to_id("<|det|>"),
        det_close=tokenizer.token_to_id("<|/det|>"),
        ref_open=tokenizer.token_to_id("<|ref|>"),
        table_cells=TABLE_CELLS | {ids[0] for ids in encoded if len(ids) == 1},
    )
