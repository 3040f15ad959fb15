"""What the model writes, special tokens and all, into blocks: a label, a place, plain text.

The output is a row of ``<|ref|>label<|/ref|><|det|>[[x1, y1, x2, y2]]<|/det|>`` with content behind
each, in reading order; x and y go from 0 to 999 over the whole page, whatever its shape. The
published code runs `eval` on the coordinates. A page can make a model write anything, so nothing
here is run, nothing raises, time grows with the length alone, and what is no tag, label or
coordinate is content: better a stray word in a block than one missing.

A tag's text ends at the next tag, whichever that is, so no nesting can confuse it. Known to remain:
what looks exactly like a tag is taken for one (``a<b>c`` in a formula loses its ``<b>``).
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ocrd.types import Block, Box

# The model's coordinate of a page's right and bottom edge.
LARGEST = 999
# Characters. Labels are a word or two (``table_footnote``); a sentence in a ref is text whose tags
# went wrong.
LONGEST_LABEL = 60
# Characters of located words that are given with each box: a book in a ref with many boxes would
# fill the memory.
LONGEST_SOUGHT = 200
TITLES = ("title", "sub_title")
LOCATED = "located"

_TAG = re.compile(r"(<\|/?(?:ref|det)\|>)")
_CONTROL = re.compile(r"<｜[^\n]{0,40}?｜>|<\|(?:grounding|User|Assistant)\|>")
_TOKEN = re.compile(rf"{_CONTROL.pattern}|{_TAG.pattern}")
_C0 = {
    code: "\n" if chr(code) in "\f\v\r" else None for code in range(32) if chr(code) not in "\n\t"
}

_INTEGER = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?\.?[0-9][0-9.eE+-]*|[+-]?(?i:nan|inf|infinity)|(?i:null|none)")
_NOT_BRACKETS = re.compile(r"[^\s,\[\]()]+")
_SPAN = r"(?:[ \t,.+-]|[0-9]+(?!\w))*"
_UNCLOSED = re.compile(rf"\s*\[+{_SPAN}(?:\]+[ \t]*,[ \t]*\[+{_SPAN})*\]*")

_ATTRIBUTE = r"""\s+[\w-]+\s*=\s*(?:"[^"<>]*"|'[^'<>]*'|[^\s"'<>=]+)"""
_FORMAT = re.compile(
    rf"</?(center|sup|sub|strong|em|br|div|span|[biup])(?:{_ATTRIBUTE})*\s*/?>", re.IGNORECASE
)
_FORMATS = re.compile(rf"(?:{_FORMAT.pattern})+", re.IGNORECASE)
_TABLE = re.compile(
    r"<(/?)(table|caption|colgroup|col|thead|tbody|tfoot|tr|td|th)(?:[\s/][^<>]*)?>", re.IGNORECASE
)
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});")
# Tags that begin a new line.
_APART = frozenset(("p", "div", "center"))
_RUN = re.compile(r"\n{3,}")
_HEADING = re.compile(r"^[ \t]*#+(?:[ \t]+|$)")

# A box in the model's coordinates.
_Grid = tuple[int, int, int, int]


@dataclass(frozen=True)
class Grounded:
    """One page's output, read."""

    # In the model's order, which is the reading order.
    blocks: tuple[Block, ...]
    # Without tags: the ``.txt`` sidecar.
    text: str
    # Without ref and det tags, HTML as the model wrote it: the ``.md`` sidecar.
    markdown: str


def parse(output: str, size: tuple[int, int], *, page: int = 0, located: bool = False) -> Grounded:
    """The blocks of a page of ``size`` (width, height) pixels; ``page`` is its index, from 0.

    ``located``: the output answers a ``locate:`` task, where a ref holds the words that were looked
    for: one block for each box, labelled ``located``. A block's ``bbox`` lies within the page and
    has at least one pixel. Never raises.
    """
    pieces = _pieces(output, located=located)
    if located:
        blocks = tuple(block for piece in pieces for block in _located(piece, size, page=page))
        text = "\n".join(block.text for block in blocks if block.text)
        return Grounded(blocks, text, _RUN.sub("\n\n", text))
    read = [_labelled(piece, size, page=page) for piece in pieces]
    kept = [(block, raw) for block, raw in read if block.text or block.bbox]
    markdown = "\n\n".join(raw.strip() for _, raw in kept if raw.strip())
    return Grounded(tuple(block for block, _ in kept), _joined(read), _RUN.sub("\n\n", markdown))


def clean(output: str) -> str:
    """The output of a task without grounding.

    No control tokens, tags or coordinates; the rest untouched.
    """
    kept = (
        _coordinates(text, end)[1] if tag == "<|det|>" else text
        for tag, text, end in _tagged(output)
    )
    return _sealed("".join(kept)).strip()


def _tagged(output: str) -> Iterator[tuple[str, str, str]]:
    """A tag ("" at the start), the text behind it, and the tag that ends that text ("" at the
    end).
    """
    parts = ["", *_TAG.split(_CONTROL.sub("", _printable(output)))]
    return zip(parts[::2], parts[1::2], [*parts[2::2], ""], strict=True)


def _printable(text: str) -> str:
    """No C0 control characters but newline and tab: a form feed means the next page elsewhere."""
    return text.replace("\r\n", "\n").translate(_C0)


def _sealed(text: str) -> str:
    """``text`` without the tokens that came about when something between their halves was
    removed.
    """
    return _TOKEN.sub("\n", text)  # a newline is part of none, so no more can come about


@dataclass
class _Piece:
    """The output from one ref to the next."""

    ref: str = ""
    # Whether the ref has its end.
    closed: bool = False
    boxes: list[_Grid] = field(default_factory=list)
    content: list[str] = field(default_factory=list)
    # Whether ``content`` is more than blanks.
    written: bool = False

    def write(self, text: str) -> None:
        self.content.append(text)
        self.written = self.written or bool(text.strip())


def _pieces(output: str, *, located: bool) -> list[_Piece]:
    pieces = [_Piece()]
    for tag, text, end in _tagged(output):
        if tag == "<|ref|>":
            pieces.append(_Piece(text, end == "<|/ref|>"))
        elif tag == "<|det|>":
            coordinates, more = _coordinates(text, end)
            boxes = list(_boxes(coordinates))
            # Behind content, a place without a ref belongs to what follows; only sought words may
            # have theirs later.
            if boxes and pieces[-1].written and not located:
                pieces.append(_Piece())
            pieces[-1].boxes += boxes
            pieces[-1].write(more)
        else:
            pieces[-1].write(text)
    return pieces


def _coordinates(text: str, end: str) -> tuple[str, str]:
    """What stands behind a det tag, parted into coordinates and content that came to be there.

    Without the closing tag the coordinates end with their brackets, or where a line or a word
    begins.
    """
    if end == "<|/det|>" and all(_NUMBER.fullmatch(word) for word in _NOT_BRACKETS.findall(text)):
        return text, ""
    length = match.end() if (match := _UNCLOSED.match(text)) else 0
    return text[:length], text[length:]


def _boxes(coordinates: str) -> Iterator[_Grid]:
    """Each four numbers are a box.

    What is no integer (1e999, NaN, 0.5) voids its box and shifts no other.
    """
    words = _NOT_BRACKETS.findall(coordinates)
    for group in zip(words[::4], words[1::4], words[2::4], words[3::4], strict=False):
        if all(_INTEGER.fullmatch(word) for word in group):
            x1, y1, x2, y2 = (_clamped(word) for word in group)
            yield min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)


def _clamped(integer: str) -> int:
    # Python refuses to convert more than 4300 digits, and takes quadratic time for fewer.
    return 0 if integer.startswith("-") else min(int(integer.lstrip("+0")[:4] or "0"), LARGEST)


def _pixels(box: _Grid, size: tuple[int, int]) -> Box:
    left, right = _side(box[0], box[2], length=size[0])
    top, bottom = _side(box[1], box[3], length=size[1])
    return left, top, right, bottom


def _side(low: int, high: int, *, length: int) -> tuple[int, int]:
    """Outwards to whole pixels, and never empty."""
    start = min(low * length // LARGEST, length - 1)
    return start, max(start + 1, -(-high * length // LARGEST))


def _union(boxes: Sequence[Box]) -> Box | None:
    if not boxes:
        return None
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


def _located(piece: _Piece, size: tuple[int, int], *, page: int) -> Iterator[Block]:
    words = _sealed(" ".join(_unformatted(piece.ref).split())).strip()
    short = len(words) <= LONGEST_SOUGHT
    for box in piece.boxes:
        yield Block(words if short else "", LOCATED, _pixels(box, size), page)
    if rest := _plain(_content(piece, with_ref=not (piece.boxes and short)), "text"):
        yield Block(rest, page=page)


def _labelled(piece: _Piece, size: tuple[int, int], *, page: int) -> tuple[Block, str]:
    """The block and the content as the model wrote it, with the blanks around it."""
    # Lower case may make a token of <|GROUNDING|>; sealed, it has a newline and is no label.
    label = _sealed(piece.ref.strip().lower())
    named = piece.closed and len(label) <= LONGEST_LABEL and "\n" not in label
    raw = _sealed(_content(piece, with_ref=not named))
    label = (named and label) or "text"
    return Block(
        _plain(raw, label), label, _union([_pixels(box, size) for box in piece.boxes]), page
    ), raw


def _content(piece: _Piece, *, with_ref: bool) -> str:
    content = "".join(piece.content)
    if not with_ref or not piece.ref:
        return content
    apart = "\n" if content and not content[0].isspace() else ""
    return f"{piece.ref}{apart}{content}"


def _joined(read: Sequence[tuple[Block, str]]) -> str:
    """The blocks' texts, with an empty line where the model left one."""
    parts: list[str] = []
    gap = "\n"
    for block, raw in read:
        if block.text:
            parts += [gap, block.text] if parts else [block.text]
            gap = "\n"
        if raw[len(raw.rstrip()) :].count("\n") > 1:
            gap = "\n\n"
    return "".join(parts)


def _plain(raw: str, label: str) -> str:
    if label == "table":
        table = _sealed(_rows(raw))
        # Not the tabs: an empty corner cell still holds the first row in its columns.
        return table.strip("\n") if table.strip() else ""
    text = _sealed(_unformatted(raw))
    if label in TITLES:
        text = "\n".join(_heading(line) for line in text.strip().split("\n"))
    return text.strip()


def _heading(line: str) -> str:
    line = _HEADING.sub("", line).strip()
    inner = line[2:-2]
    bold = len(line) > 4 and line.startswith("**") and line.endswith("**") and "**" not in inner
    return inner.strip() if bold else line


def _unformatted(text: str) -> str:
    """``text`` without the HTML tags that only say how it looks.

    Words that they held apart stay apart.
    """
    return _FORMATS.sub(_instead, text)


def _instead(tags: re.Match[str]) -> str:
    names = [name.lower() for name in _FORMAT.findall(tags[0])]
    if "br" in names:
        return "\n" * names.count("br")
    before = tags.string[max(0, tags.start() - 1) : tags.start()].strip()
    after = tags.string[tags.end() : tags.end() + 1].strip()
    return "\n" if before and after and _APART.intersection(names) else ""


def _rows(markup: str) -> str:
    """Each row of a table on a line, its cells parted by tabs.

    What stands outside of cells on lines of its own.

    Not by `html.parser`: Python 3.11.7's needs 76 s for 60 kB of ``<b ``, and drops words that look
    like attributes.
    """
    first, *rest = _TABLE.split(markup)
    lines = [_unescaped(first).strip()]
    row = list[str]()
    for slash, name, text in zip(rest[::3], rest[1::3], rest[2::3], strict=True):
        if name.lower() not in ("td", "th"):
            lines += ["\t".join(row), _unescaped(text).strip()]
            row = []
        elif not slash or text.strip():
            row.append(" ".join(_unescaped(text).split()))
    return "\n".join(line for line in [*lines, "\t".join(row)] if line)


def _unescaped(text: str) -> str:
    return _printable(_ENTITY.sub(lambda entity: html.unescape(entity[0]), _unformatted(text)))
