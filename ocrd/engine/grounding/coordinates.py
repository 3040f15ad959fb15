"""Read boxes from the model's coordinates, and scale them to the page.

The model writes ``[[x1, y1, x2, y2], ...]``. x and y go from 0 to 999 over the whole page, whatever
its shape. The published code runs `eval` on them; here they are only ever parsed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ocrd.types import Box

# A box in the model's coordinates: left, top, right, bottom.
GridBox = tuple[int, int, int, int]

# The model's coordinate of the page's right and bottom edge.
GRID_MAX = 999

_INTEGER = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?\.?[0-9][0-9.eE+-]*|[+-]?(?i:nan|inf|infinity)|(?i:null|none)")
_WORD = re.compile(r"[^\s,\[\]()]+")
# Numbers and separators of a box, but not a number at the start of a word ("2nd").
_NUMBERS = r"(?:[ \t,.+-]|[0-9]+(?!\w))*"
_UNCLOSED_BOXES = re.compile(rf"\s*\[+{_NUMBERS}(?:\]+[ \t]*,[ \t]*\[+{_NUMBERS})*\]*")


def split_coordinates(text: str, next_tag: str) -> tuple[str, str]:
    """Split the text after ``<|det|>`` into coordinates and content.

    If ``next_tag`` is not ``<|/det|>``, or the text is not coordinates alone, the coordinates end
    with their brackets, or where a line or a word begins.
    """
    if next_tag == "<|/det|>" and all(_NUMBER.fullmatch(word) for word in _WORD.findall(text)):
        return text, ""
    boxes = _UNCLOSED_BOXES.match(text)
    end = boxes.end() if boxes else 0
    return text[:end], text[end:]


def read_boxes(coordinates: str) -> Iterator[GridBox]:
    """Read each four numbers as a box, sorted and clamped to the grid.

    A number that is not an integer (1e999, NaN, 0.5) invalidates its box and shifts no other.
    """
    words = _WORD.findall(coordinates)
    for group in zip(words[::4], words[1::4], words[2::4], words[3::4], strict=False):
        if all(_INTEGER.fullmatch(word) for word in group):
            x1, y1, x2, y2 = (_clamp(word) for word in group)
            yield min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)


def _clamp(integer: str) -> int:
    # Not int(integer): Python refuses to convert more than 4300 digits, and takes quadratic time
    # for fewer.
    if integer.startswith("-"):
        return 0
    return min(int(integer.lstrip("+0")[:4] or "0"), GRID_MAX)


def to_pixels(box: GridBox, size: tuple[int, int]) -> Box:
    """Scale ``box`` to a page of ``size`` (width, height) pixels.

    Rounds outwards to whole pixels. The result is within the page and at least one pixel large.
    """
    left, right = _scale_side(box[0], box[2], length=size[0])
    top, bottom = _scale_side(box[1], box[3], length=size[1])
    return left, top, right, bottom


def _scale_side(low: int, high: int, *, length: int) -> tuple[int, int]:
    start = min(low * length // GRID_MAX, length - 1)
    rounded_up = -(-high * length // GRID_MAX)
    return start, max(start + 1, rounded_up)


def union(boxes: Sequence[Box]) -> Box | None:
    """Return the smallest box around all ``boxes``; None without any."""
    if not boxes:
        return None
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)
