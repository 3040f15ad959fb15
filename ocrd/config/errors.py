"""What is wrong with a configuration, in the words of somebody who writes TOML.

One sentence for each mistake: the key's dotted path, the value as TOML writes it, what is allowed,
and, where there is a good guess, what was probably meant. A list's entries and the tables of
``[[inbox]]`` are counted from 1: ``inbox[2].settle`` is a setting of the second inbox.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ocrd.config.allowed import allowed_in_words, join_words
from ocrd.config.json_schema import Node, schema_root
from ocrd.config.suggestions import similar_name, similar_value
from ocrd.config.toml_text import toml_key, toml_value
from ocrd.errors import ConfigError

if TYPE_CHECKING:
    from pydantic import ValidationError

# Characters of a value that a message repeats.
MAX_VALUE_LENGTH = 80


class InvalidConfig(ConfigError):
    """The file is TOML, but some settings are wrong.

    Attributes:
        problems: One sentence for each mistake.
    """

    def __init__(self, where: str, problems: Sequence[str]) -> None:
        """``where`` names the file."""
        self.problems = tuple(problems)
        # Always one line: the message is also a field of log events and of `ocrd status`.
        if len(self.problems) == 1:
            message = self.problems[0]
        else:
            numbered = [f"({number}) {text}" for number, text in enumerate(self.problems, start=1)]
            message = f"{len(numbered)} errors: {'; '.join(numbered)}"
        super().__init__(f"{where}: {message}")


@dataclass(frozen=True)
class _Place:
    """Where in the configuration an error is.

    Attributes:
        key: The dotted path, such as ``inbox[1].formats[2]``.
        node: What the schema says about this place; None for an unknown key.
        parent: What it says about the table or list around it.
        name: The last part of the path.
    """

    key: str
    node: Node | None
    parent: Node
    name: str


@dataclass(frozen=True)
class _Mistake:
    """One wrong place, with all that pydantic says about it: one error for each type of a union."""

    place: _Place
    details: list[Mapping[str, Any]]


def problems_of(error: ValidationError) -> list[str]:
    """One sentence for each key that is wrong, in the order of the schema."""
    mistakes: dict[str, _Mistake] = {}
    for detail in error.errors():
        place = _place_of(detail["loc"])
        mistake = mistakes.setdefault(place.key, _Mistake(place, []))
        mistake.details.append(detail)
    return [
        _sentence(mistake) for mistake in mistakes.values() if not _only_follows(mistake, mistakes)
    ]


def _only_follows(mistake: _Mistake, others: Iterable[str]) -> bool:
    """A list without its wrong entries is too short; the user only has to correct the entries."""
    entry = f"{mistake.place.key}["
    return all(detail["type"] == "too_short" for detail in mistake.details) and any(
        other.startswith(entry) for other in others
    )


def _place_of(location: tuple[int | str, ...]) -> _Place:
    """Follow pydantic's location, which also names the member of a union, through the schema."""
    place = _Place("", schema_root(), {}, "")
    for part in location:
        node = place.node or {}
        if isinstance(part, int) and "items" in node:
            place = _Place(f"{place.key}[{part + 1}]", node["items"], node, place.name)
        elif isinstance(part, str) and "properties" in node:
            key = f"{place.key}.{toml_key(part)}" if place.key else toml_key(part)
            place = _Place(key, node["properties"].get(part), node, part)
        else:
            break
    return place


def _sentence(mistake: _Mistake) -> str:
    place = mistake.place
    details = mistake.details
    value = details[0]["input"]
    own = [str(detail["ctx"]["error"]) for detail in details if detail["type"] == "value_error"]
    if place.node is None:
        return _unknown(place, value)
    if own and place.node.get("type") == "object":
        return own[0]  # About several settings of a table; it names them itself.
    if "properties" in place.node or "properties" in place.node.get("items", {}):
        return _not_a_table(place, value)
    if any(detail["type"] == "finite_number" for detail in details):
        return f"{place.key} is {shown(value)}; it must be a finite number"
    reason = own[0] if own else f"it must be {allowed_in_words(place.node)}"
    guess = similar_value(value, place.node)
    hint = "" if guess is None else f" (did you mean {toml_value(guess)}?)"
    return f"{place.key} is {shown(value)}; {reason}{hint}"


def _not_a_table(place: _Place, value: Any) -> str:
    assert place.node is not None
    if place.node["type"] == "array":
        if isinstance(value, dict):
            return (
                f"{place.key} is one table; write [[{place.key}]] instead of [{place.key}], "
                "because there can be several"
            )
        return (
            f"{place.key} is {shown(value)}; it must be one or more tables, each of which begins "
            f"with the line [[{place.key}]]"
        )
    if place.key.endswith("]"):
        return f"{place.key} is {shown(value)}; it must be a table"
    if _is_list_of_tables(value):
        return f"{place.key} is a list of tables; write [{place.key}] instead of [[{place.key}]]"
    return (
        f"{place.key} is {shown(value)}; it must be a table, which begins with the line "
        f"[{place.key}]"
    )


def _unknown(place: _Place, value: Any) -> str:
    siblings = place.parent["properties"]
    if place.key == toml_key(place.name):
        return _unknown_at_top(place, value)
    table = place.key[: -len(toml_key(place.name)) - 1]
    if similar := similar_name(place.name, siblings):
        return f"{place.key} is not a setting; did you mean {table}.{similar}?"
    if elsewhere := _settings_called(place.name):
        return f"{place.key} is not a setting; did you mean {join_words(elsewhere, 'or')}?"
    header = _header(table.partition("[")[0], several=table.endswith("]"))
    return f"{place.key} is not a setting; {header} has {join_words(list(siblings), 'and')}"


def _unknown_at_top(place: _Place, value: Any) -> str:
    tables = schema_root()["properties"]
    if isinstance(value, dict) or _is_list_of_tables(value):
        is_unknown = f"{_header(place.key, several=isinstance(value, list))} is not a known table"
    else:
        is_unknown = f"{place.key} is not a setting outside the tables"
        if elsewhere := _settings_called(place.name):
            return f"{is_unknown}; did you mean {join_words(elsewhere, 'or')}?"
    if similar := similar_name(place.name, tables):
        several = tables[similar]["type"] == "array"
        return f"{is_unknown}; did you mean {_header(similar, several=several)}?"
    headers = [_header(name, several=node["type"] == "array") for name, node in tables.items()]
    return f"{is_unknown}; the tables are {join_words(headers, 'and')}"


def _header(table: str, *, several: bool) -> str:
    return f"[[{table}]]" if several else f"[{table}]"


def _settings_called(name: str) -> list[str]:
    """Where in the whole configuration there is a setting of this name, or of one most like it."""
    by_name: dict[str, list[str]] = {}
    for table, node in schema_root()["properties"].items():
        for setting in node.get("items", node)["properties"]:
            by_name.setdefault(setting, []).append(f"{table}.{setting}")
    return by_name.get(similar_name(name, by_name) or "", [])


def _is_list_of_tables(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(entry, dict) for entry in value)


def shown(value: Any) -> str:
    """``value`` as TOML writes it, on one line and not too long."""
    if isinstance(value, dict):
        return "a table"
    if _is_list_of_tables(value):
        return "a list of tables"
    text = toml_value(value)
    return text if len(text) <= MAX_VALUE_LENGTH else f"{text[:MAX_VALUE_LENGTH]}..."
