"""Values and keys as TOML writes them, on one line: for messages, for comments and for files."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_ESCAPES = {
    "\\": "\\\\",
    '"': '\\"',
    "\b": "\\b",
    "\t": "\\t",
    "\n": "\\n",
    "\f": "\\f",
    "\r": "\\r",
}
# ASCII's control characters have to be escaped; ESCAPES has short forms of some.
_CONTROL = re.compile(r'[\x00-\x1f\x7f"\\]')


def toml_key(key: str) -> str:
    """``key`` as it is written before the equals sign, quoted if it has to be."""
    return key if _BARE_KEY.fullmatch(key) else _toml_string(key)


def toml_value(value: Any) -> str:  # noqa: PLR0911 - one for each of TOML's types
    """``value`` as it is written after the equals sign.

    Args:
        value: What tomllib returns or a setting holds: also paths and tuples.

    Raises:
        TypeError: TOML has no such values.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | PurePath):
        return _toml_string(str(value))
    if isinstance(value, int):
        # Python refuses to write integers of more than 4300 digits in decimal.
        return str(value) if value.bit_length() < 10_000 else hex(value)
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, Mapping):
        entries = ", ".join(f"{toml_key(key)} = {toml_value(item)}" for key, item in value.items())
        return f"{{ {entries} }}" if entries else "{}"
    if isinstance(value, Sequence):
        return f"[{', '.join(toml_value(item) for item in value)}]"
    raise TypeError(f"TOML has no {type(value).__name__}")


def _toml_string(text: str) -> str:
    return f'"{_CONTROL.sub(lambda found: _escaped(found[0]), text)}"'


def _escaped(character: str) -> str:
    return _ESCAPES.get(character) or f"\\u{ord(character):04x}"
