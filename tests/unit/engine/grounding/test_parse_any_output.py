"""Whatever the model writes, parsing it ends in time, and loses no word."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ocrd.engine.grounding.parse import parse_page, strip_tags
from tests.unit.engine.grounding.outputs import (
    CONTROL,
    DET,
    DET_END,
    PUBLISHED,
    REF,
    REF_END,
    SIZE,
    TAGS,
    grounded,
    texts_of,
)

pytestmark = pytest.mark.slow


TOKEN = re.compile(r"<\|/?(?:ref|det)\|>|<\|(?:grounding|User|Assistant)\|>|<｜[^\n]{0,40}?｜>")
C0 = re.compile(r"[\x00-\x08\x0b-\x1f]")


@pytest.mark.parametrize("unit", [
    *TAGS, REF + REF_END, DET + "[[1,2,3,4]]" + DET_END, f"{REF}a{REF_END}{DET}",
    f"{DET}{DET_END}", "<", "<｜", "<|", "<b", "<b ", "<b a=", "<b a='", "<br>", "<p>a",
    "<td", "<td ", "<td>", "<table>", "</", "<!--",
    "&", "&#9", "[", "]", "9", "9 ", "1,", "1+1.", "],[", " ", "\n", "\t", "#", "**",
    "# ", "\x00", "&amp;", "<|re", "nan ", "e", "-",
])  # fmt: skip
@pytest.mark.parametrize(
    "before", ["", f"{REF}table{REF_END}", f"{REF}title{REF_END}", f"{REF}x{REF_END}{DET}[["]
)
def test_a_hundred_kilobytes_of_anything_are_parsed_in_time(unit: str, before: str) -> None:
    output = before + unit * (100_000 // len(unit))
    for text in (output, output + DET_END + "x"):
        parse_page(text, SIZE)
        parse_page(text, SIZE, located=True)
        strip_tags(text)


def test_a_megabyte_of_half_tokens_leaves_none_behind() -> None:
    halves = (
        "<|re<|/det|>f|>"
        + "<|re" * 100_000
        + REF_END
        + "f|>" * 100_000
        + "<|gro<|User|>unding|>" * 10_000
    )
    for text in (
        *texts_of(parse_page(halves, SIZE)),
        *texts_of(parse_page(halves, SIZE, located=True)),
        strip_tags(halves),
    ):
        assert not TOKEN.search(text)


FRAGMENTS = (
    *TAGS, *TAGS, *CONTROL, "<|re", "f|>", "<|/", "<｜", "｜>", "<|GROUNDING|>", "[[", "]]",
    "1, 2, 3, 4", "[[1, 2, 3, 4]]", "-1", "1e999", "NaN", "9" * 5000, "0.5", "table", "title",
    "\n", "\n\n", "\r", "\f", "\x00", " ", "#", "**", "<b>", "<", ">", "|", "<br>", "</p>", "<td>",
    "</td>", "<tr>", "<table>", "&lt;", "&gt;", "&#12;", "&#0;", "a<b and c>d",
)  # fmt: skip


# A busy machine must not fail a test.
no_deadline = settings(deadline=None)


FUZZ = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=5), max_size=40).map("".join)


SIZES = st.tuples(st.integers(1, 5000), st.integers(1, 5000))


@no_deadline
@given(output=FUZZ, size=SIZES, located=st.booleans())
@example("a\n\n\n\nb", (1, 1), True)
@example("<<b>|ref|>", (1, 1), False)
@example(f"{REF}<|GROUNDING|>{REF_END}x", (1, 1), False)
@example("<|re<|/ref|>f|>", (1, 1), True)
@example("<｜<｜｜>｜>", (1, 1), False)
@example(f"{REF}<｜\na｜>{REF_END}{DET}1 1 1 1{DET_END}", (1, 1), True)
@example(f"{REF}table{REF_END}<td><｜\na｜></td>", (1, 1), False)
def test_anything_gives_boxes_within_the_page_and_texts_without_tokens(
    output: str, size: tuple[int, int], located: bool
) -> None:
    page = parse_page(output, size, located=located)
    for block in page.blocks:
        assert block.text or block.bbox
        if block.bbox:
            left, top, right, bottom = block.bbox
            assert 0 <= left < right <= size[0] and 0 <= top < bottom <= size[1]
    for text in texts_of(page):
        assert not TOKEN.search(text) and not C0.search(text)
    assert "\n\n\n" not in page.markdown and page.markdown == page.markdown.strip()


@no_deadline
@given(FUZZ)
def test_stripping_tags_twice_changes_nothing(output: str) -> None:
    cleaned = strip_tags(output)
    assert not TOKEN.search(cleaned) and not C0.search(cleaned)
    assert strip_tags(cleaned) == cleaned


@no_deadline
@given(
    parts=st.lists(
        st.sampled_from(
            [*TAGS, "word", " ", "\n", "[[1, 2, 3, 4]]", "[[1, 2", "5 ", "<b>", "#", "<"]
        )
    ),
    located=st.booleans(),
)
def test_no_word_is_lost(parts: list[str], located: bool) -> None:
    numbered = [
        f"{part}{'abcdefghij'[n % 10] * (n // 10 + 1)}z" if part == "word" else part
        for n, part in enumerate(parts)
    ]
    page = parse_page("".join(numbered), SIZE, located=located)
    tag = ""
    for part in numbered:
        tag = part if part in TAGS else tag
        if part.startswith("word") and (located or tag != REF):
            assert (
                part in page.text
                and part in page.markdown
                and any(part in block.text for block in page.blocks)
            )
        if part.startswith("word"):
            assert part in strip_tags("".join(numbered))


@dataclass(frozen=True)
class WrittenBlock:
    """A block as a model writes it, and its meaning."""

    label: str
    content: str
    text: str
    boxes: tuple[tuple[int, int, int, int], ...]
    gap: str

    @property
    def output(self) -> str:
        boxes = str([list(box) for box in self.boxes])
        return grounded(self.label, self.content, box=boxes) + self.gap

    def exact(self, size: tuple[int, int]) -> tuple[float, float, float, float]:
        x1, y1, x2, y2 = (
            pick(values)
            for pick, values in zip(
                (min, min, max, max), zip(*self.boxes, strict=True), strict=True
            )
        )
        return x1 * size[0] / 999, y1 * size[1] / 999, x2 * size[0] / 999, y2 * size[1] / 999


WORDS = st.from_regex(r"[A-Za-zäß漢0-9.]{1,8}( [A-Za-zäß漢0-9.]{1,8}){0,3}", fullmatch=True)


EDGES = st.tuples(st.integers(0, 999), st.integers(0, 999)).map(lambda pair: (min(pair), max(pair)))


BOXES = st.tuples(EDGES, EDGES).map(lambda box: (box[0][0], box[1][0], box[0][1], box[1][1]))


ROWS = st.lists(st.lists(WORDS, min_size=1, max_size=3), min_size=1, max_size=3)


def table(rows: list[list[str]]) -> tuple[str, str, str]:
    markup = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return "table", f"<table>{markup}</table>", "\n".join("\t".join(row) for row in rows)


CONTENTS = (
    WORDS.map(lambda words: ("title", f"# {words}", words))
    | WORDS.map(lambda words: ("sub_title", f"## **{words}**", words))
    | st.lists(WORDS, min_size=1, max_size=3)
    .map("\n".join)
    .map(lambda lines: ("text", lines, lines))
    | ROWS.map(table)
    | WORDS.map(lambda words: ("image_caption", f"<center>{words}</center>", words))
    | st.just(("image", "", ""))
)


DOCUMENTS = st.lists(
    st.builds(
        lambda content, boxes, gap: WrittenBlock(
            content[0], content[1], content[2], tuple(boxes), gap
        ),
        CONTENTS, st.lists(BOXES, min_size=1, max_size=2), st.sampled_from(["\n", "\n\n"]),
    ),
    max_size=5,
)  # fmt: skip


@no_deadline
@given(document=DOCUMENTS, size=SIZES)
def test_a_well_formed_page_is_parsed_as_it_was_meant(
    document: list[WrittenBlock], size: tuple[int, int]
) -> None:
    page = parse_page("".join(written.output for written in document), size)
    assert [(block.label, block.text) for block in page.blocks] == [
        (written.label, written.text) for written in document
    ]
    for block, written in zip(page.blocks, document, strict=True):
        assert block.bbox is not None
        assert all(
            abs(side - exact) <= 1
            for side, exact in zip(block.bbox, written.exact(size), strict=True)
        )
    assert page.markdown == "\n\n".join(written.content for written in document if written.content)
    assert page.text.split() == " ".join(written.text for written in document).split()


def keeps_all_complete_blocks(output: str) -> None:
    whole = parse_page(output, SIZE).blocks
    ends = [match.end() for match in re.finditer(re.escape(REF), output)][1:]
    for cut in range(len(output)):
        complete = sum(end <= cut for end in ends)
        assert parse_page(output[:cut], SIZE).blocks[:complete] == whole[:complete]


def test_a_page_cut_off_anywhere_keeps_all_complete_blocks() -> None:
    keeps_all_complete_blocks(PUBLISHED)


@settings(deadline=None, max_examples=30)
@given(DOCUMENTS)
def test_any_page_cut_off_anywhere_keeps_all_complete_blocks(document: list[WrittenBlock]) -> None:
    keeps_all_complete_blocks("".join(written.output for written in document[:3]))
