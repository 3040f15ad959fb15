"""What the model writes becomes blocks, whatever it writes."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ocrd.engine.grounding import LONGEST_LABEL, LONGEST_SOUGHT, Grounded, clean, parse
from ocrd.types import Block, Box

# Two and three pixels for each step of the model's coordinates.
SIZE = (1998, 2997)

REF, REF_END, DET, DET_END = TAGS = ("<|ref|>", "<|/ref|>", "<|det|>", "<|/det|>")
CONTROL = (
    "<｜end▁of▁sentence｜>",
    "<｜begin▁of▁sentence｜>",
    "<｜▁pad▁｜>",
    "<|grounding|>",
    "<|User|>",
    "<|Assistant|>",
)
TOKEN = re.compile(r"<\|/?(?:ref|det)\|>|<\|(?:grounding|User|Assistant)\|>|<｜[^\n]{0,40}?｜>")
C0 = re.compile(r"[\x00-\x08\x0b-\x1f]")

PUBLISHED = """<|ref|>title<|/ref|><|det|>[[52, 32, 940, 120]]<|/det|>
# Big Title

<|ref|>text<|/ref|><|det|>[[52, 140, 940, 300]]<|/det|>
A paragraph
  on two lines.
<|ref|>text<|/ref|><|det|>[[52, 300, 940, 340]]<|/det|>
Its end.

<|ref|>table<|/ref|><|det|>[[52, 350, 940, 500]]<|/det|>
<table><tr><td>a</td><td>b</td></tr><tr><td>c</td><td>d</td></tr></table>

<|ref|>image<|/ref|><|det|>[[52, 510, 940, 800]]<|/det|>

<|ref|>image_caption<|/ref|><|det|>[[52, 810, 940, 830]]<|/det|>
<center>Figure 1: x<sup>2</sup></center><｜end▁of▁sentence｜>"""


def grounded(label: str, content: str, *, box: str = "[[0, 0, 999, 999]]") -> str:
    return f"{REF}{label}{REF_END}{DET}{box}{DET_END}\n{content}"


def plain(label: str, content: str) -> str:
    [block] = parse(grounded(label, content), SIZE).blocks
    return block.text


def box_of(coordinates: str, size: tuple[int, int] = SIZE) -> Box | None:
    [block] = parse(grounded("text", "x", box=coordinates), size).blocks
    return block.bbox


def outputs(page: Grounded) -> list[str]:
    return [
        page.text,
        page.markdown,
        *(block.text for block in page.blocks),
        *(block.label for block in page.blocks),
    ]


def test_a_published_page_is_read_in_its_order() -> None:
    assert parse(PUBLISHED, SIZE, page=3).blocks == (
        Block("Big Title", "title", (104, 96, 1880, 360), 3),
        Block("A paragraph\n  on two lines.", "text", (104, 420, 1880, 900), 3),
        Block("Its end.", "text", (104, 900, 1880, 1020), 3),
        Block("a\tb\nc\td", "table", (104, 1050, 1880, 1500), 3),
        Block("", "image", (104, 1530, 1880, 2400), 3),
        Block("Figure 1: x2", "image_caption", (104, 2430, 1880, 2490), 3),
    )


def test_an_empty_line_stands_in_the_text_where_the_model_left_one() -> None:
    assert parse(PUBLISHED, SIZE).text == (
        "Big Title\n\nA paragraph\n  on two lines.\nIts end.\n\na\tb\nc\td\n\nFigure 1: x2"
    )
    assert (
        parse(
            grounded("text", "a\n") + grounded("image", "\n\n") + grounded("text", "b"), SIZE
        ).text
        == "a\n\nb"
    )


def test_the_markdown_is_what_the_model_wrote_between_its_tags() -> None:
    assert parse(PUBLISHED, SIZE).markdown == (
        "# Big Title\n\nA paragraph\n  on two lines.\n\nIts end.\n\n"
        "<table><tr><td>a</td><td>b</td></tr><tr><td>c</td><td>d</td></tr></table>\n\n"
        "<center>Figure 1: x<sup>2</sup></center>"
    )
    assert parse(grounded("text", "a\n\n\n\n\nb\n"), SIZE).markdown == "a\n\nb"


@pytest.mark.parametrize(("coordinates", "expected"), [
    ("[[52, 32, 940, 120]]", (104, 96, 1880, 360)),
    ("[[[52, 32, 940, 120]]]", (104, 96, 1880, 360)),
    ("52 32 940 120", (104, 96, 1880, 360)),
    ("[[940, 120, 52, 32]]", (104, 96, 1880, 360)),
    ("[[0, 0, 999, 999]]", (0, 0, 1998, 2997)),
    ("[[-5, +7, 1000, 99999]]", (0, 21, 1998, 2997)),
    ("[[500, 500, 500, 500]]", (1000, 1500, 1001, 1501)),
    ("[[999, 999, 999, 999]]", (1997, 2996, 1998, 2997)),
    ("[[0, 0, 0, 0]]", (0, 0, 1, 1)),
    ("[[10, 10, 20, 20], [30, 5, 40, 9]]", (20, 15, 80, 60)),
    ("[[10, 10, 20, 20],\n [30, 5, 40, 9]]", (20, 15, 80, 60)),
    ("[[10, 10, 20, 20], [30, 5]]", (20, 30, 40, 60)),
    ("[[0.1, 0.2, 0.3, 0.4], [10, 10, 20, 20]]", (20, 30, 40, 60)),
    ("[[1e999, NaN, -inf, null], [10, 10, 20, 20]]", (20, 30, 40, 60)),
    (f"[[{'0' * 9000}1, -{'9' * 9000}, {'9' * 9000}, {'1' * 9000}]]", (2, 0, 1998, 2997)),
    ("[[1, 2, 3]]", None),
    ("[[]]", None),
    ("", None),
])  # fmt: skip
def test_boxes_are_sorted_clamped_and_scaled_to_the_page(
    coordinates: str, expected: Box | None
) -> None:
    assert box_of(coordinates) == expected


def test_a_box_reaches_outwards_to_whole_pixels() -> None:
    assert box_of("[[100, 100, 334, 334]]", (100, 10)) == (10, 1, 34, 4)


def test_coordinates_are_never_run(capsys: pytest.CaptureFixture[str]) -> None:
    page = parse(grounded("text", "x", box="[[print(1), 2, 3, 4]]"), SIZE)
    assert capsys.readouterr().out == "" and page.blocks[0].bbox is None


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
    (f"{REF}{'x' * LONGEST_LABEL}{REF_END}after", [Block("after", "x" * LONGEST_LABEL)]),
    (f"{REF}{'x' * 61}{REF_END} after", [Block("x" * 61 + " after")]),
    (f"{REF}{REF_END}x", [Block("x")]),
    (f"a{REF_END}b{DET_END}c", [Block("abc")]),
    (f"{REF_END}title{REF}", [Block("title")]),
    (f"A.\n{DET}[[0, 0, 1, 1]]{DET_END}\nB.", [Block("A."), Block("B.", bbox=(0, 0, 2, 3))]),
    (f"{REF}text{REF_END}{DET}[[0,0,1,1]]{DET_END}{DET}[[5,5,9,9]]{DET_END}x", [Block("x", bbox=(0, 0, 18, 27))]),
])  # fmt: skip
def test_broken_tags_lose_no_words(output: str, blocks: list[Block]) -> None:
    assert parse(output, SIZE).blocks == tuple(blocks)


@pytest.mark.parametrize(("behind", "text", "boxed"), [
    ("[[1, 2, 3, 4]]\n2024 was a year", "2024 was a year", True),
    ("[[1, 2, 3, 4]]\n[1] Smith, 2020", "[1] Smith, 2020", True),
    ("[[1, 2, 3, 4], [5, 6, 7, 8]]2nd edition", "2nd edition", True),
    ("[[1, 2, 3, 4\n2024 was a year", "2024 was a year", True),
    ("[[1, 2, 3, 4 2nd edition", "2nd edition", True),
    ("[[1, 2", "", False),
    ("5 apples", "5 apples", False),
    ("2024", "2024", False),
    (f"[[1, 2, 3, 4]]\nwords{DET_END}", "words", True),
    (f"words{DET_END}", "words", False),
])  # fmt: skip
def test_coordinates_that_are_never_closed_end_before_the_words(
    behind: str, text: str, boxed: bool
) -> None:
    page = parse(f"{REF}text{REF_END}{DET}{behind}", SIZE)
    assert page.text == text
    assert [block.bbox is not None for block in page.blocks] == ([boxed] if text else [])


@pytest.mark.parametrize(("label", "content", "text"), [
    ("title", "# Big", "Big"),
    ("title", "##   **Big**  ", "Big"),
    ("title", "# One\n# Two", "One\nTwo"),
    ("title", "#1 in the **world**", "#1 in the **world**"),
    ("title", "**a** or **b**", "**a** or **b**"),
    ("title", "***", "***"),
    ("text", "# not a title, **bold**", "# not a title, **bold**"),
    ("text", "a<BR/>b<br>c", "a\nb\nc"),
    ("text", '<p align="center">one</p><p>two</p>', "one\ntwo"),
    ("text", "<center>one</center>\ntwo", "one\ntwo"),
    ("text", "H<sub>2</sub>O <b>b</b> <i>i</i> <u>u</u> <strong>s</strong> <em>e</em>", "H2O b i u s e"),
    ("text", "<div class='x'><span style=y>in</span></div>", "in"),
    ("text", "if a <b and c> d: x<y>z <!-- & --> <td>", "if a <b and c> d: x<y>z <!-- & --> <td>"),
    ("text", "&lt;b&gt; AT&amp;T", "&lt;b&gt; AT&amp;T"),
    ("text", "\n\n    def f():\n        return 1  \n\n", "def f():\n        return 1"),
])  # fmt: skip
def test_text_is_plain(label: str, content: str, text: str) -> None:
    assert plain(label, content) == text


@pytest.mark.parametrize(("content", "text"), [
    ("<table><tr><td>a</td><td>b</td></tr></table>", "a\tb"),
    ("<table><tr><td>a<td>b<tr><td>c", "a\tb\nc"),
    ("<TABLE border>\n<thead>\n <TR>\n  <TH colspan='2'>a</TH>\n </TR>\n</thead>\n</TABLE>", "a"),
    ("<table><tr><td></td><td>b</td></tr><tr><td>c</td><td></td></tr></table>", "\tb\nc\t"),
    ("<table><tr><td></td></tr></table>", ""),
    ("<td>one\n\ttwo<br>three</td><td><p>x</p><p>y</p></td>", "one two three\tx y"),
    ("<td>a &lt;b&gt; &amp; &#99;&#x63; &nosuch; AT&T &copy</td>", "a <b> & cc &nosuch; AT&T &copy"),
    (f"<td>a&#12;b&#8;&#0;&#{'9' * 5000};</td>", f"a b\ufffd&#{'9' * 5000};"),
    ("Above\n\n<table><caption>Cap</caption><tr>stray<td>a</td>lost<td>b</td></tr></table>\nBelow",
     "Above\nCap\nstray\na\tlost\tb\nBelow"),
    ("<td>x<table><tr><td>in</td></tr></table>y</td>", "x\nin\ny"),
    ("<td>a <b and c> <x> 1<2</td>", "a <b and c> <x> 1<2"),
    ("| a | b |\n|---|---|\n| 1 | 2 |", "| a | b |\n|---|---|\n| 1 | 2 |"),
    ("<td>&lt;|ref|&gt;</td>", ""),
    ("Next&#12;page", "Next\npage"),
])  # fmt: skip
def test_a_table_becomes_rows_of_cells(content: str, text: str) -> None:
    assert plain("table", content) == text


@pytest.mark.parametrize("control", CONTROL)
def test_control_tokens_are_in_no_output(control: str) -> None:
    assert set(outputs(parse(grounded(f"ti{control}tle", f"a{control}b"), SIZE))) == {"title", "ab"}
    assert clean(f"{control} a{control}b {control}") == "ab"


def test_what_only_resembles_a_control_token_stays() -> None:
    kept = f"<image> <|image|> <｜{'x' * 41}｜> <｜a\nb｜> <|Ref|>"
    assert clean(kept) == parse(kept, SIZE).text == kept


def test_other_control_characters_are_dropped_and_page_breaks_are_newlines() -> None:
    assert (
        parse("a\fb\vc\rd\r\ne\x00\x1b\tf", SIZE).text
        == clean("a\fb\vc\rd\r\ne\x00\x1b\tf")
        == "a\nb\nc\nd\ne\tf"
    )


def test_each_place_of_located_words_is_a_block() -> None:
    page = parse(
        f"Here:\n{REF}the\n words{REF_END}{DET}[[0, 0, 1, 1], [5, 5, 9, 9]]{DET_END}\nand {REF}more{REF_END} too",
        SIZE, page=2, located=True,
    )  # fmt: skip
    assert page.blocks == (
        Block("Here:", page=2),
        Block("the words", "located", (0, 0, 2, 3), 2),
        Block("the words", "located", (10, 15, 18, 27), 2),
        Block("and", page=2),
        Block("more too", page=2),
    )
    assert page.text == page.markdown == "Here:\nthe words\nthe words\nand\nmore too"


@pytest.mark.parametrize(("output", "blocks"), [
    (f"{REF}{'long ' * 20}{REF_END}{DET}[[0,0,1,1]]{DET_END}", [Block(("long " * 20)[:-1], "located", (0, 0, 2, 3))]),
    (f"{REF}x{DET}[[0,0,1,1]]{DET_END}", [Block("x", "located", (0, 0, 2, 3))]),
    (f"{REF}x{REF_END}\nis at\n{DET}[[0,0,1,1]]{DET_END}", [Block("x", "located", (0, 0, 2, 3)), Block("is at")]),
    (f"{DET}[[0,0,1,1]]{DET_END}", [Block("", "located", (0, 0, 2, 3))]),
    (f"{REF}x{REF_END}{DET}[[1, 2]]{DET_END}", [Block("x")]),
])  # fmt: skip
def test_located_words_are_found_in_untidy_answers(output: str, blocks: list[Block]) -> None:
    assert parse(output, SIZE, located=True).blocks == tuple(blocks)


def test_a_book_in_a_ref_is_not_repeated_for_each_of_its_boxes() -> None:
    book = "x" * (LONGEST_SOUGHT + 1)
    page = parse(grounded(book, "", box="[[0, 0, 1, 1]]" * 1000), SIZE, located=True)
    assert len(page.blocks) == 1001 and page.text == book


def test_without_grounding_only_tags_and_coordinates_go() -> None:
    said = "  Text <b>bold</b>\n\n\n  2 < 3\n"
    assert clean(said) == "Text <b>bold</b>\n\n\n  2 < 3"
    assert clean(f"{REF}title{REF_END}{DET}[[1, 2, 3, 4]]{DET_END}\n# T") == "title\n# T"
    assert clean(f"{DET}[[1, 2, 3, 4]] words{REF_END}") == "words"


@pytest.mark.parametrize("unit", [
    *TAGS, REF + REF_END, DET + "[[1,2,3,4]]" + DET_END, f"{REF}a{REF_END}{DET}", f"{DET}{DET_END}", "<", "<｜", "<|",
    "<b", "<b ", "<b a=", "<b a='", "<br>", "<p>a", "<td", "<td ", "<td>", "<table>", "</", "<!--", "&", "&#9", "[",
    "]", "9", "9 ", "1,", "1+1.", "],[", " ", "\n", "\t", "#", "**", "# ", "\x00", "&amp;", "<|re", "nan ", "e", "-",
])  # fmt: skip
@pytest.mark.parametrize(
    "before", ["", f"{REF}table{REF_END}", f"{REF}title{REF_END}", f"{REF}x{REF_END}{DET}[["]
)
def test_a_hundred_kilobytes_of_anything_are_read(unit: str, before: str) -> None:
    output = before + unit * (100_000 // len(unit))
    for text in (output, output + DET_END + "x"):
        parse(text, SIZE)
        parse(text, SIZE, located=True)
        clean(text)


def test_a_megabyte_of_half_tokens_leaves_none_behind() -> None:
    halves = (
        "<|re<|/det|>f|>"
        + "<|re" * 100_000
        + REF_END
        + "f|>" * 100_000
        + "<|gro<|User|>unding|>" * 10_000
    )
    for text in (
        *outputs(parse(halves, SIZE)),
        *outputs(parse(halves, SIZE, located=True)),
        clean(halves),
    ):
        assert not TOKEN.search(text)


FRAGMENTS = (
    *TAGS, *TAGS, *CONTROL, "<|re", "f|>", "<|/", "<｜", "｜>", "<|GROUNDING|>", "[[", "]]", "1, 2, 3, 4",
    "[[1, 2, 3, 4]]", "-1", "1e999", "NaN", "9" * 5000, "0.5", "table", "title", "\n", "\n\n", "\r", "\f", "\x00",
    " ", "#", "**", "<b>", "<", ">", "|", "<br>", "</p>", "<td>", "</td>", "<tr>", "<table>", "&lt;", "&gt;",
    "&#12;", "&#0;", "a<b and c>d",
)  # fmt: skip
# A busy machine is no fault.
unhurried = settings(deadline=None)
FUZZ = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=5), max_size=40).map("".join)
SIZES = st.tuples(st.integers(1, 5000), st.integers(1, 5000))


@unhurried
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
    page = parse(output, size, located=located)
    for block in page.blocks:
        assert block.text or block.bbox
        if block.bbox:
            left, top, right, bottom = block.bbox
            assert 0 <= left < right <= size[0] and 0 <= top < bottom <= size[1]
    for text in outputs(page):
        assert not TOKEN.search(text) and not C0.search(text)
    assert "\n\n\n" not in page.markdown and page.markdown == page.markdown.strip()


@unhurried
@given(FUZZ)
def test_what_is_clean_stays_as_it_is(output: str) -> None:
    cleaned = clean(output)
    assert not TOKEN.search(cleaned) and not C0.search(cleaned)
    assert clean(cleaned) == cleaned


@unhurried
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
    page = parse("".join(numbered), SIZE, located=located)
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
            assert part in clean("".join(numbered))


@dataclass(frozen=True)
class Said:
    """A block as a well-behaved model writes it, and what it means."""

    label: str
    content: str
    text: str
    boxes: tuple[tuple[int, int, int, int], ...]
    gap: str

    @property
    def output(self) -> str:
        return f"{grounded(self.label, self.content, box=str([list(box) for box in self.boxes]))}{self.gap}"

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
        lambda content, boxes, gap: Said(content[0], content[1], content[2], tuple(boxes), gap),
        CONTENTS, st.lists(BOXES, min_size=1, max_size=2), st.sampled_from(["\n", "\n\n"]),
    ),
    max_size=5,
)  # fmt: skip


@unhurried
@given(document=DOCUMENTS, size=SIZES)
def test_what_a_model_writes_well_is_read_as_it_was_meant(
    document: list[Said], size: tuple[int, int]
) -> None:
    page = parse("".join(said.output for said in document), size)
    assert [(block.label, block.text) for block in page.blocks] == [
        (said.label, said.text) for said in document
    ]
    for block, said in zip(page.blocks, document, strict=True):
        assert block.bbox is not None
        assert all(
            abs(side - exact) <= 1 for side, exact in zip(block.bbox, said.exact(size), strict=True)
        )
    assert page.markdown == "\n\n".join(said.content for said in document if said.content)
    assert page.text.split() == " ".join(said.text for said in document).split()


def keeps_all_complete_blocks(output: str) -> None:
    whole = parse(output, SIZE).blocks
    ends = [match.end() for match in re.finditer(re.escape(REF), output)][1:]
    for cut in range(len(output)):
        complete = sum(end <= cut for end in ends)
        assert parse(output[:cut], SIZE).blocks[:complete] == whole[:complete]


def test_a_page_cut_off_anywhere_keeps_all_complete_blocks() -> None:
    keeps_all_complete_blocks(PUBLISHED)


@settings(deadline=None, max_examples=30)
@given(DOCUMENTS)
def test_any_page_cut_off_anywhere_keeps_all_complete_blocks(document: list[Said]) -> None:
    keeps_all_complete_blocks("".join(said.output for said in document[:3]))
