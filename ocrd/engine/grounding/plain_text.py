"""Convert a block's markup into plain text: HTML formats, tables, Markdown titles.

A known limit: text that looks exactly like a tag is taken for one. ``a<b>c`` in a formula loses its
``<b>``.
"""

from __future__ import annotations

import html
import re

from ocrd.engine.grounding.tags import remove_control_characters, remove_tokens

TITLE_LABELS = ("title", "sub_title")

_ATTRIBUTE = r"""\s+[\w-]+\s*=\s*(?:"[^"<>]*"|'[^'<>]*'|[^\s"'<>=]+)"""
_FORMAT_TAG = re.compile(
    rf"</?(center|sup|sub|strong|em|br|div|span|[biup])(?:{_ATTRIBUTE})*\s*/?>", re.IGNORECASE
)
_FORMAT_TAGS = re.compile(rf"(?:{_FORMAT_TAG.pattern})+", re.IGNORECASE)
_TABLE_TAG = re.compile(
    r"<(/?)(table|caption|colgroup|col|thead|tbody|tfoot|tr|td|th)(?:[\s/][^<>]*)?>", re.IGNORECASE
)
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});")
# Format tags that begin a new line.
_BLOCK_TAGS = frozenset(("p", "div", "center"))
_HEADING_MARK = re.compile(r"^[ \t]*#+(?:[ \t]+|$)")


def to_plain_text(markup: str, label: str) -> str:
    """Convert the content of a block with ``label``.

    A table becomes rows of tab-separated cells. A title loses its Markdown marks. Everything else
    loses the HTML tags that only format it.
    """
    if label == "table":
        table = remove_tokens(_table_rows(markup))
        # Tabs stay: an empty corner cell keeps the first row in its columns.
        return table.strip("\n") if table.strip() else ""
    text = remove_tokens(remove_format_tags(markup))
    if label in TITLE_LABELS:
        text = "\n".join(_title_text(line) for line in text.strip().split("\n"))
    return text.strip()


def remove_format_tags(text: str) -> str:
    """Remove the HTML tags that only format ``text``; words that they separated stay separate."""
    return _FORMAT_TAGS.sub(_format_tags_replacement, text)


def _format_tags_replacement(tags: re.Match[str]) -> str:
    names = [name.lower() for name in _FORMAT_TAG.findall(tags[0])]
    if "br" in names:
        return "\n" * names.count("br")
    before = tags.string[max(0, tags.start() - 1) : tags.start()].strip()
    after = tags.string[tags.end() : tags.end() + 1].strip()
    return "\n" if before and after and _BLOCK_TAGS.intersection(names) else ""


def _title_text(line: str) -> str:
    """Return ``line`` without ``#`` and without the bold mark around all of it."""
    line = _HEADING_MARK.sub("", line).strip()
    inner = line[2:-2]
    bold = len(line) > 4 and line.startswith("**") and line.endswith("**") and "**" not in inner
    return inner.strip() if bold else line


def _table_rows(markup: str) -> str:
    """Return each row on a line, its cells separated by tabs; text outside of cells on lines, too.

    Not with `html.parser`: Python 3.11.7's needs 76 s for 60 kB of ``<b ``, and drops words that
    look like attributes.
    """
    first, *rest = _TABLE_TAG.split(markup)
    lines = [_text_of(first).strip()]
    row: list[str] = []
    for slash, name, text in zip(rest[::3], rest[1::3], rest[2::3], strict=True):
        if name.lower() not in ("td", "th"):
            lines += ["\t".join(row), _text_of(text).strip()]
            row = []
        elif not slash or text.strip():
            row.append(" ".join(_text_of(text).split()))
    lines.append("\t".join(row))
    return "\n".join(line for line in lines if line)


def _text_of(markup: str) -> str:
    """Return ``markup`` without format tags, its entities as characters."""
    text = _ENTITY.sub(lambda entity: html.unescape(entity[0]), remove_format_tags(markup))
    return remove_control_characters(text)
