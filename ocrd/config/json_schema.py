"""The JSON schema of the configuration file, for editors such as VS Code with Even Better TOML.

Draft 7 is the newest that TOML's language server (Taplo) reads. It ignores what is written next to
a reference, so the schema contains none.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from ocrd.config.schema import Config
from ocrd.config.values import ALLOWED

DIALECT = "http://json-schema.org/draft-07/schema#"

Node = dict[str, Any]


@cache
def schema_root() -> Node:
    """The schema with our own words for what is allowed (``x-allowed``). Not to be changed.

    Tables are ``properties`` of the root, settings are ``properties`` of their table, and
    ``inbox`` is an array of tables. No node allows null, which TOML does not have.
    """
    schema = Config.model_json_schema()
    definitions = schema.pop("$defs", {})
    root: Node = _plain(schema, definitions)
    return root


def editor_schema() -> Node:
    """The schema as it is published."""
    root: Node = _without_own_keys(schema_root())
    return {
        "$schema": DIALECT,
        "title": "ocrd's configuration file",
        **{key: value for key, value in root.items() if key != "title"},
    }


def _plain(node: Any, definitions: Node) -> Any:
    """``node`` without references, titles of pydantic, and null."""
    if isinstance(node, list):
        return [_plain(entry, definitions) for entry in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        name = node["$ref"].rpartition("/")[2]
        # A field's description is about this place, a class's about all of its places.
        node = {**definitions[name], **{key: node[key] for key in node if key != "$ref"}}
    plain = {
        key: {name: _plain(child, definitions) for name, child in value.items()}
        if key == "properties"
        else _plain(value, definitions)
        for key, value in node.items()
        if not _of_pydantic(key, value)
    }
    if {"type": "null"} in plain.get("anyOf", ()):
        (only,) = [option for option in plain.pop("anyOf") if option != {"type": "null"}]
        plain = {**only, **plain}
    return plain


def _of_pydantic(key: str, value: Any) -> bool:
    """Whether this is of no use to an editor: titles, "path", the defaults of tables and null."""
    if key == "default":
        return value is None or isinstance(value, dict) or _is_list_of_tables(value)
    return key == "title" or (key == "format" and value == "path")


def _is_list_of_tables(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(entry, dict) for entry in value)


def _without_own_keys(node: Any) -> Any:
    if isinstance(node, list):
        return [_without_own_keys(entry) for entry in node]
    if isinstance(node, dict):
        return {key: _without_own_keys(value) for key, value in node.items() if key != ALLOWED}
    return node
