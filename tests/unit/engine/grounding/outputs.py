"""What a model writes, for the tests of its parser."""

from __future__ import annotations

from ocrd.engine.grounding.parse import ParsedPage

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


def texts_of(page: ParsedPage) -> list[str]:
    """Everything that a reader of the page can see."""
    return [
        page.text,
        page.markdown,
        *(block.text for block in page.blocks),
        *(block.label for block in page.blocks),
    ]
