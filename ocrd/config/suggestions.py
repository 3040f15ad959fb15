"""What the user probably meant by a misspelt name, a misspelt value, a value of the wrong kind."""

from __future__ import annotations

import contextlib
import tomllib
from collections.abc import Iterable
from typing import Any

from ocrd.config.allowed import choices, kinds
from ocrd.config.json_schema import Node

# How similar two names are, from 0 to 1: below this, a suggestion confuses more than it helps.
# "gpu" is similar to "cpu" by 0.67, and is not what its writer meant.
MIN_SIMILARITY = 0.7

_BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_NUMBERS: dict[str, tuple[type, ...]] = {"integer": (int,), "number": (int, float)}


def similar_name(name: str, names: Iterable[str]) -> str | None:
    """The one of ``names`` that is most like ``name``, if one is like it.

    Upper and lower case, dashes and underscores make no difference.
    """
    import difflib

    by_normal_form = {_normal_form(known): known for known in names}
    found = difflib.get_close_matches(
        _normal_form(name), by_normal_form, n=1, cutoff=MIN_SIMILARITY
    )
    return by_normal_form[found[0]] if found else None


def similar_value(value: Any, node: Node) -> Any | None:
    """What ``value`` should probably be to be allowed by ``node``; None where there is no guess."""
    if isinstance(value, str):
        return _meant_by_string(value, node)
    allowed = kinds(node)
    if allowed == {"boolean"} and value in (0, 1):
        return bool(value)
    if allowed == {"integer"} and isinstance(value, float) and value.is_integer():
        return int(value) if _within(value, node) else None
    return None


def _meant_by_string(value: str, node: Node) -> Any | None:
    allowed = kinds(node)
    named = similar_name(value, [choice for choice in choices(node) if isinstance(choice, str)])
    if named is not None:
        return named
    if "boolean" in allowed:
        return _BOOLEANS.get(value.strip().lower())
    if "array" in allowed:
        return _list_of_one(value, node["items"])
    return _number_in(value, node)


def _list_of_one(value: str, entries: Node) -> list[str] | None:
    """``value`` in brackets. A command with spaces is not split: its path may contain them."""
    if named := choices(entries):
        similar = similar_name(value, named)
        return None if similar is None else [similar]
    is_path = value.startswith(("/", "~")) and " " not in value
    return [value] if is_path else None


def _number_in(value: str, node: Node) -> float | None:
    """The number that ``value`` contains in quotes, if it is allowed."""
    if "\n" in value:
        return None
    with contextlib.suppress(ValueError):
        number: Any = tomllib.loads(f"number = {value.strip()}")["number"]
        for option in node.get("anyOf", [node]):
            kinds_of_number = _NUMBERS.get(option["type"], ())
            if type(number) in kinds_of_number and _within(number, option):
                return float(number) if isinstance(number, float) else int(number)
    return None


def _within(number: float, node: Node) -> bool:
    low, above, high = (node.get(key) for key in ("minimum", "exclusiveMinimum", "maximum"))
    return (
        (low is None or number >= low)
        and (above is None or number > above)
        and (high is None or number <= high)
    )


def _normal_form(name: str) -> str:
    return name.strip().lower().replace("-", "_").replace(" ", "_")
