"""Split the model's output at its tags, and remove tokens that are not text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_TAG = re.compile(r"(<\|/?(?:ref|det)\|>)")
_CONTROL_TOKEN = re.compile(r"<｜[^\n]{0,40}?｜>|<\|(?:grounding|User|Assistant)\|>")
_TOKEN = re.compile(rf"{_CONTROL_TOKEN.pattern}|{_TAG.pattern}")
# For `str.translate`: what becomes of the C0 control characters, except newline and tab. A form
# feed would separate pages in the text sidecar.
_CONTROL_CHARACTERS = {
    code: "\n" if chr(code) in "\f\v\r" else None for code in range(32) if chr(code) not in "\n\t"
}


class Segment(NamedTuple):
    """The text after one tag.

    Attributes:
        tag: The tag before the text; "" at the start of the output.
        text: Everything up to the next tag, whichever that is.
        next_tag: The tag after the text; "" at the end of the output.
    """

    tag: str
    text: str
    next_tag: str


def split_at_tags(output: str) -> Iterator[Segment]:
    """Split ``output`` into segments, without control tokens and control characters."""
    parts = ["", *_TAG.split(_CONTROL_TOKEN.sub("", remove_control_characters(output)))]
    tags = parts[::2]
    texts = parts[1::2]
    next_tags = [*parts[2::2], ""]
    for tag, text, next_tag in zip(tags, texts, next_tags, strict=True):
        yield Segment(tag, text, next_tag)


def remove_control_characters(text: str) -> str:
    """Remove C0 control characters except newline and tab; page breaks become newlines."""
    return text.replace("\r\n", "\n").translate(_CONTROL_CHARACTERS)


def remove_tokens(text: str) -> str:
    """Remove tokens that formed when something between their halves was removed.

    A newline replaces each, because no token contains one: no other token can form.
    """
    return _TOKEN.sub("\n", text)
