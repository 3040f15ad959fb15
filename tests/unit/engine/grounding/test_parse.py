"""The model's output becomes blocks, text and Markdown."""

from __future__ import annotations

import pytest

from ocrd.engine.grounding.parse import MAX_LABEL_LENGTH, MAX_LOCATED_LENGTH, parse_page, strip_tags
from ocrd.types import Block
from tests.unit.engine.grounding.outputs import (
    CONTROL,
    DET,
    DET_END,
    PUBLISHED,
    REF,
    REF_END,
    SIZE,
    grounded,
    texts_of,
)


def test_a_published_page_becomes_blocks_in_reading_order() -> None:
    assert parse_page(PUBLISHED, SIZE, page=3).blocks == (
        Block("Big Title", "title", (104, 96, 1880, 360), 3),
        Block("A paragraph\n  on two lines.", "text", (104, 420, 1880, 900), 3),
        Block("Its end.", "text", (104, 900, 1880, 1020), 3),
        Block("a\tb\nc\td", "table", (104, 1050, 1880, 1500), 3),
        Block("", "image", (104, 1530, 1880, 2400), 3),
        Block("Figure 1: x2", "image_caption", (104, 2430, 1880, 2490), 3),
    )


def test_the_text_has_an_empty_line_where_the_model_left_one() -> None:
    assert parse_page(PUBLISHED, SIZE).text == (
        "Big Title\n\nA paragraph\n  on two lines.\nIts end.\n\na\tb\nc\td\n\nFigure 1: x2"
    )
    assert (
        parse_page(
            grounded("text", "a\n") + grounded("image", "\n\n") + grounded("text", "b"), SIZE
        ).text
        == "a\n\nb"
    )


def test_the_markdown_is_what_the_model_wrote_between_its_tags() -> None:
    assert parse_page(PUBLISHED, SIZE).markdown == (
        "# Big Title\n\nA paragraph\n  on two lines.\n\nIts end.\n\n"
        "<table><tr><td>a</td><td>b</td></tr><tr><td>c</td><td>d</td></tr></table>\n\n"
        "<center>Figure 1: x<sup>2</sup></center>"
    )
    assert parse_page(grounded("text", "a\n\n\n\n\nb\n"), SIZE).markdown == "a\n\nb"


@pytest.mark.parametrize(("output", "blocks"), [
    ("", []),
    ("  \n ", []),
    ("No tags.", [Block("No tags.")]),
    ("Before.\n" + grounded("text", "x", box="[]"), [Block("Before."), Block("x")]),
    (f"{REF} Sub_Title {REF_END}\n## **One**\n", [Block("One", "sub_title")]),
    (f"{REF}image{REF_END}{DET}{DET_END}", []),
    (f"{REF}title{REF_END}", []),
    (f"{REF}cut off", [Block("cut off")]),
    (f"{REF}text{DET}[[0, 0, 1, 1]]{DET_END}x", [Block("text\nx", bbox=(0, 0, 2, 3))]),
    (f"{REF}a{REF}title{REF_END}b", [Block("a"), Block("b", "title")]),
    (f"{REF}two\nlines{REF_END}after", [Block("two\nlines\nafter")]),
    (f"{REF}{'x' * MAX_LABEL_LENGTH}{REF_END}after", [Block("after", "x" * MAX_LABEL_LENGTH)]),
    (f"{REF}{'x' * 61}{REF_END} after", [Block("x" * 61 + " after")]),
    (f"{REF}{REF_END}x", [Block("x")]),
    (f"a{REF_END}b{DET_END}c", [Block("abc")]),
    (f"{REF_END}title{REF}", [Block("title")]),
    (f"A.\n{DET}[[0, 0, 1, 1]]{DET_END}\nB.", [Block("A."), Block("B.", bbox=(0, 0, 2, 3))]),
    (f"{REF}text{REF_END}{DET}[[0,0,1,1]]{DET_END}{DET}[[5,5,9,9]]{DET_END}x",
     [Block("x", bbox=(0, 0, 18, 27))]),
])  # fmt: skip
def test_broken_tags_lose_no_words(output: str, blocks: list[Block]) -> None:
    assert parse_page(output, SIZE).blocks == tuple(blocks)


@pytest.mark.parametrize("control", CONTROL)
def test_control_tokens_are_in_no_output(control: str) -> None:
    assert set(texts_of(parse_page(grounded(f"ti{control}tle", f"a{control}b"), SIZE))) == {
        "title",
        "ab",
    }
    assert strip_tags(f"{control} a{control}b {control}") == "ab"


def test_what_only_resembles_a_control_token_stays() -> None:
    kept = f"<image> <|image|> <｜{'x' * 41}｜> <｜a\nb｜> <|Ref|>"
    assert strip_tags(kept) == parse_page(kept, SIZE).text == kept


def test_other_control_characters_are_removed_and_page_breaks_become_newlines() -> None:
    assert (
        parse_page("a\fb\vc\rd\r\ne\x00\x1b\tf", SIZE).text
        == strip_tags("a\fb\vc\rd\r\ne\x00\x1b\tf")
        == "a\nb\nc\nd\ne\tf"
    )


def test_each_box_of_located_words_is_a_block() -> None:
    output = (
        f"Here:\n{REF}the\n words{REF_END}{DET}[[0, 0, 1, 1], [5, 5, 9, 9]]{DET_END}\n"
        f"and {REF}more{REF_END} too"
    )
    page = parse_page(output, SIZE, page=2, located=True)
    assert page.blocks == (
        Block("Here:", page=2),
        Block("the words", "located", (0, 0, 2, 3), 2),
        Block("the words", "located", (10, 15, 18, 27), 2),
        Block("and", page=2),
        Block("more too", page=2),
    )
    assert page.text == page.markdown == "Here:\nthe words\nthe words\nand\nmore too"


@pytest.mark.parametrize(("output", "blocks"), [
    (f"{REF}{'long ' * 20}{REF_END}{DET}[[0,0,1,1]]{DET_END}",
     [Block(("long " * 20)[:-1], "located", (0, 0, 2, 3))]),
    (f"{REF}x{DET}[[0,0,1,1]]{DET_END}", [Block("x", "located", (0, 0, 2, 3))]),
    (f"{REF}x{REF_END}\nis at\n{DET}[[0,0,1,1]]{DET_END}",
     [Block("x", "located", (0, 0, 2, 3)), Block("is at")]),
    (f"{DET}[[0,0,1,1]]{DET_END}", [Block("", "located", (0, 0, 2, 3))]),
    (f"{REF}x{REF_END}{DET}[[1, 2]]{DET_END}", [Block("x")]),
])  # fmt: skip
def test_located_words_are_found_in_malformed_answers(output: str, blocks: list[Block]) -> None:
    assert parse_page(output, SIZE, located=True).blocks == tuple(blocks)


def test_a_book_in_a_ref_is_not_repeated_for_each_of_its_boxes() -> None:
    book = "x" * (MAX_LOCATED_LENGTH + 1)
    page = parse_page(grounded(book, "", box="[[0, 0, 1, 1]]" * 1000), SIZE, located=True)
    assert len(page.blocks) == 1001 and page.text == book


def test_without_grounding_only_tags_and_coordinates_are_removed() -> None:
    output = "  Text <b>bold</b>\n\n\n  2 < 3\n"
    assert strip_tags(output) == "Text <b>bold</b>\n\n\n  2 < 3"
    assert strip_tags(f"{REF}title{REF_END}{DET}[[1, 2, 3, 4]]{DET_END}\n# T") == "title\n# T"
    assert strip_tags(f"{DET}[[1, 2, 3, 4]] words{REF_END}") == "words"
