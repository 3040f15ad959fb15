"""Parse a page's output into blocks.

The output is a series of ``<|ref|>label<|/ref|><|det|>[[x1, y1, x2, y2]]<|/det|>``, each with its
content after it, in reading order. A page can make a model write anything. Therefore nothing here
is executed, nothing raises, the time grows only with the length, and everything that is not a tag,
a label or a coordinate is content: a stray word in a block is better than a missing one.

A tag's text ends at the next tag, whichever that is, so nested tags cannot confuse the parser.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ocrd.engine.grounding.coordinates import (
    GridBox,
    read_boxes,
    split_coordinates,
    to_pixels,
    union,
)
from ocrd.engine.grounding.plain_text import remove_format_tags, to_plain_text
from ocrd.engine.grounding.tags import remove_tokens, split_at_tags
from ocrd.types import Block

# Characters. Labels are a word or two (``table_footnote``). A sentence in a ref is text whose tags
# went wrong.
MAX_LABEL_LENGTH = 60
# Characters of located words that each of their boxes repeats. A book in a ref with many boxes
# would fill the memory.
MAX_LOCATED_LENGTH = 200
LOCATED_LABEL = "located"

_BLANK_LINES = re.compile(r"\n{3,}")


@dataclass(frozen=True)
class ParsedPage:
    """A page's output as blocks.

    Attributes:
        blocks: In the model's order, which is the reading order.
        text: Without tags and markup: the ``.txt`` sidecar.
        markdown: Without ref and det tags, HTML as the model wrote it: the ``.md`` sidecar.
    """

    blocks: tuple[Block, ...]
    text: str
    markdown: str


def parse_page(
    output: str, size: tuple[int, int], *, page: int = 0, located: bool = False
) -> ParsedPage:
    """Parse the grounded output of one page. Never raises.

    Args:
        output: What the model wrote, with all its tokens.
        size: Width and height of the page in pixels. Boxes are scaled to it; each is within the
            page and has at least one pixel.
        page: Index of the page, from 0.
        located: Whether the output answers a ``locate:`` task. Then a ref holds the words that
            were searched for, and each of its boxes becomes a block with the label ``located``.
    """
    pieces = _split_pieces(output, located=located)
    if located:
        blocks = tuple(
            block for piece in pieces for block in _located_blocks(piece, size, page=page)
        )
        text = "\n".join(block.text for block in blocks if block.text)
        return ParsedPage(blocks, text, _BLANK_LINES.sub("\n\n", text))
    labelled = [_labelled_block(piece, size, page=page) for piece in pieces]
    kept = [(block, markup) for block, markup in labelled if block.text or block.bbox]
    markdown = "\n\n".join(markup.strip() for _, markup in kept if markup.strip())
    return ParsedPage(
        blocks=tuple(block for block, _ in kept),
        text=_join_texts(labelled),
        markdown=_BLANK_LINES.sub("\n\n", markdown),
    )


def strip_tags(output: str) -> str:
    """Remove control tokens, tags and coordinates from the output of a task without grounding."""
    kept = (
        split_coordinates(segment.text, segment.next_tag)[1]
        if segment.tag == "<|det|>"
        else segment.text
        for segment in split_at_tags(output)
    )
    return remove_tokens("".join(kept)).strip()


@dataclass
class _Piece:
    """The output from one ref to the next.

    Attributes:
        ref: Text of the ref.
        ref_closed: Whether the ref has its closing tag.
        boxes: All boxes of the piece.
        content: Text after the ref and its boxes.
        has_text: Whether the content is more than white space.
    """

    ref: str = ""
    ref_closed: bool = False
    boxes: list[GridBox] = field(default_factory=list)
    content: list[str] = field(default_factory=list)
    has_text: bool = False

    def append(self, text: str) -> None:
        self.content.append(text)
        self.has_text = self.has_text or bool(text.strip())

    def markup(self, *, with_ref: bool) -> str:
        """Return the content; ``with_ref`` puts the ref's text before it, because it is text."""
        content = "".join(self.content)
        if not with_ref or not self.ref:
            return content
        separator = "\n" if content and not content[0].isspace() else ""
        return f"{self.ref}{separator}{content}"


def _split_pieces(output: str, *, located: bool) -> list[_Piece]:
    pieces = [_Piece()]
    for tag, text, next_tag in split_at_tags(output):
        if tag == "<|ref|>":
            pieces.append(_Piece(text, ref_closed=next_tag == "<|/ref|>"))
        elif tag == "<|det|>":
            coordinates, content = split_coordinates(text, next_tag)
            boxes = list(read_boxes(coordinates))
            # Boxes after content, without a ref, belong to the content that follows. Only located
            # words may have their boxes later.
            if boxes and pieces[-1].has_text and not located:
                pieces.append(_Piece())
            pieces[-1].boxes += boxes
            pieces[-1].append(content)
        else:
            pieces[-1].append(text)
    return pieces


def _located_blocks(piece: _Piece, size: tuple[int, int], *, page: int) -> Iterator[Block]:
    words = remove_tokens(" ".join(remove_format_tags(piece.ref).split())).strip()
    is_short = len(words) <= MAX_LOCATED_LENGTH
    for box in piece.boxes:
        yield Block(words if is_short else "", LOCATED_LABEL, to_pixels(box, size), page)
    rest = to_plain_text(piece.markup(with_ref=not (piece.boxes and is_short)), "text")
    if rest:
        yield Block(rest, page=page)


def _labelled_block(piece: _Piece, size: tuple[int, int], *, page: int) -> tuple[Block, str]:
    """Return the block, and its content as the model wrote it, with the white space around it."""
    # Lower case may form a token from <|GROUNDING|>. It becomes a newline, and then it is no label.
    label = remove_tokens(piece.ref.strip().lower())
    is_label = piece.ref_closed and len(label) <= MAX_LABEL_LENGTH and "\n" not in label
    markup = remove_tokens(piece.markup(with_ref=not is_label))
    if not is_label or not label:
        label = "text"
    bbox = union([to_pixels(box, size) for box in piece.boxes])
    return Block(to_plain_text(markup, label), label, bbox, page), markup


def _join_texts(labelled: Sequence[tuple[Block, str]]) -> str:
    """Join the blocks' texts, with an empty line where the model left one."""
    parts: list[str] = []
    gap = "\n"
    for block, markup in labelled:
        if block.text:
            parts += [gap, block.text] if parts else [block.text]
            gap = "\n"
        if markup[len(markup.rstrip()) :].count("\n") > 1:
            gap = "\n\n"
    return "".join(parts)
