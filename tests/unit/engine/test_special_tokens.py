"""The special tokens are the tokenizer's own."""

from __future__ import annotations

from ocrd import paths
from ocrd.checkpoint_format.tokenizer import load_tokenizer
from ocrd.engine.special_tokens import find_special_tokens


def test_the_tags_and_table_cells_are_found_in_the_tokenizer() -> None:
    tokenizer = load_tokenizer(paths.POCKET_MODEL)
    special = find_special_tokens(tokenizer)
    found = (special.det_open, special.det_close, special.ref_open)
    assert [tokenizer.id_to_token(i) for i in found if i is not None] == [
        "<|det|>",
        "<|/det|>",
        "<|ref|>",
    ]
    assert tokenizer.token_to_id("\n") in special.table_cells
