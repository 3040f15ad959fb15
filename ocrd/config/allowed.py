"""What a setting allows, in words: for error messages, for the documentation and for the example.

``engine.batch`` allows ``"auto" or a whole number from 1 to 8``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ocrd.config.json_schema import Node
from ocrd.config.toml_text import toml_value
from ocrd.config.values import ALLOWED

_KINDS = {
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "object": "a table",
    "string": "a string, in quotes",
}


def allowed_in_words(node: Node) -> str:
    """What the JSON schema ``node`` allows, as a phrase that can follow "it must be"."""
    return join_words([_one_kind(option) for option in node.get("anyOf", [node])], "or")


def choices(node: Node) -> list[Any]:
    """The values that are allowed by name; empty for a node that allows none by name."""
    found: list[Any] = []
    for option in node.get("anyOf", [node]):
        found += option.get("enum", [option["const"]] if "const" in option else [])
    return found


def kinds(node: Node) -> set[str]:
    """The JSON types that are allowed, such as ``boolean`` and ``number``."""
    return {option["type"] for option in node.get("anyOf", [node])}


def join_words(words: Sequence[str], conjunction: str) -> str:
    """``a, b or c``."""
    return f" {conjunction} ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _one_kind(node: Node) -> str:
    if ALLOWED in node:
        return str(node[ALLOWED])
    if named := choices(node):
        return join_words([toml_value(value) for value in named], "or")
    kind = node["type"]
    if kind == "array":
        return _list(node)
    limits = _limits(node)
    return f"{_KINDS[kind]} {limits}" if limits else _KINDS[kind]


def _limits(node: Node) -> str:
    low, above, high = (node.get(key) for key in ("minimum", "exclusiveMinimum", "maximum"))
    if low is not None and high is not None:
        return f"from {_number(low)} to {_number(high)}"
    if low is not None:
        return f"of at least {_number(low)}"
    limits = [f"above {_number(above)}"] if above is not None else []
    limits += [f"at most {_number(high)}"] if high is not None else []
    return " and ".join(limits)


def _number(value: float) -> str:
    return f"{value:g}" if value < 1_000_000 else str(value)


def _list(node: Node) -> str:
    entries = node["items"]
    if entries["type"] == "object":
        return "one or more tables"
    if named := choices(entries):
        count = "one or more of " if node.get("minItems") else ""
        return f"a list of {count}{join_words([toml_value(value) for value in named], 'and')}"
    return "a list of strings, each in quotes"
