"""A configuration written as TOML: the example with every setting, and the settings in effect."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ocrd.config.allowed import allowed_in_words
from ocrd.config.json_schema import Node, schema_root
from ocrd.config.schema import Config
from ocrd.config.toml_text import toml_value
from ocrd.config.values import Table

# Of a comment, in characters.
WIDTH = 96

EXAMPLE_HEADER = """\
# Every setting of ocrd at its default. Settings that begin with "# " are not set by default.
# Your own file only has to contain what you change: `ocrd init` writes a short one.
#
# This file is generated from the schema in ocrd/config: run `make config-docs` after a change.
"""


@dataclass(frozen=True)
class Setting:
    """One setting of a table.

    Attributes:
        key: Its dotted path, such as ``inbox[2].settle``.
        name: The last part of the path.
        value: Its value; None where it is not set.
        default: The value without a configuration file.
        node: What the JSON schema says about it.
    """

    key: str
    name: str
    value: Any
    default: Any
    node: Node

    @property
    def is_changed(self) -> bool:
        """Whether the value is not the default."""
        return bool(self.value != self.default)


@dataclass(frozen=True)
class Section:
    """One table with its settings.

    Attributes:
        key: Its dotted path, such as ``engine`` or ``inbox[2]``.
        header: The line that begins it.
        description: What the table is about.
        settings: All of its settings, in the order of the schema.
    """

    key: str
    header: str
    description: str
    settings: tuple[Setting, ...]


def sections(config: Config, defaults: Config) -> Iterator[Section]:
    """Every table of ``config``: one for each inbox, compared with the default inbox."""
    for name, node in schema_root()["properties"].items():
        value, default = getattr(config, name), getattr(defaults, name)
        if node["type"] == "array":
            for number, table in enumerate(value, start=1):
                key = f"{name}[{number}]"
                settings = _settings(key, table, defaults=default[0], node=node["items"])
                yield Section(key, f"[[{name}]]", node["description"], settings)
        else:
            settings = _settings(name, value, defaults=default, node=node)
            yield Section(name, f"[{name}]", node["description"], settings)


def default_config() -> Config:
    """The settings without a configuration file."""
    return Config.model_validate({})


def changed_keys(config: Config) -> list[str]:
    """The dotted paths of the settings that are not at their defaults."""
    return [
        setting.key
        for section in sections(config, default_config())
        for setting in section.settings
        if setting.is_changed
    ]


def example_text() -> str:
    """``config.example.toml``: every setting with its description, at its default."""
    # Not validated, so that the inbox is "~/OCR/inbox" and not a path on this machine.
    defaults = Config.model_construct()
    parts = [EXAMPLE_HEADER]
    for section in sections(defaults, defaults):
        lines = [*comment(section.description), section.header]
        for setting in section.settings:
            lines += [*explanation(setting), assignment(setting), ""]
        parts.append("\n".join(lines))
    return "\n".join(parts).rstrip() + "\n"


def effective_text(config: Config, *, explain: bool = False, only_changed: bool = False) -> str:
    """The settings in effect as TOML that can be read again; changed ones are marked.

    Args:
        config: The settings.
        explain: Write each setting's description above it.
        only_changed: Leave out settings at their defaults. An inbox keeps its path.
    """
    parts: list[str] = []
    for section in sections(config, default_config()):
        lines: list[str] = []
        for setting in section.settings:
            is_path_of_inbox = section.key.startswith("inbox[") and setting.name == "path"
            if only_changed and not setting.is_changed and not is_path_of_inbox:
                continue
            lines += explanation(setting) if explain else []
            lines.append(_marked(setting))
            lines += [""] if explain else []
        if only_changed and not any(setting.is_changed for setting in section.settings):
            continue
        about = comment(section.description) if explain else []
        parts.append("\n".join([*about, section.header, *lines]).rstrip())
    return "\n\n".join(parts) + "\n" if parts else ""


def effective_values(config: Config, *, only_changed: bool = False) -> dict[str, Any]:
    """The settings in effect as JSON; see `effective_text`."""
    values: dict[str, Any] = config.model_dump(mode="json")
    if not only_changed:
        return values
    changed: dict[str, Any] = {}
    for section in sections(config, default_config()):
        own = {setting.name: setting for setting in section.settings if setting.is_changed}
        if not own:
            continue
        name, _, number = section.key.rstrip("]").partition("[")
        dumped = values[name][int(number) - 1] if number else values[name]
        table = {key: dumped[key] for key in dumped if key in own or (number and key == "path")}
        if number:
            changed.setdefault(name, []).append(table)
        else:
            changed[name] = table
    return changed


def explanation(setting: Setting) -> list[str]:
    """Comment lines: what the setting does, what is allowed, and an example."""
    lines = comment(setting.node["description"])
    if setting.node.get("type") != "boolean":
        lines += comment(f"Allowed: {allowed_in_words(setting.node)}.")
    if setting.default is not None and "examples" in setting.node:
        lines += comment(f"Example: {toml_value(setting.node['examples'][0])}")
    return lines


def assignment(setting: Setting) -> str:
    """The line that sets it; commented out, with an example, where it is not set."""
    if setting.value is None:
        return f"# {setting.name} = {toml_value(setting.node['examples'][0])}"
    return f"{setting.name} = {toml_value(setting.value)}"


def comment(text: str) -> list[str]:
    """``text`` as comment lines."""
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent="# ",
        subsequent_indent="# ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _settings(key: str, table: Table, *, defaults: Table, node: Node) -> tuple[Setting, ...]:
    return tuple(
        Setting(f"{key}.{name}", name, getattr(table, name), getattr(defaults, name), child)
        for name, child in node["properties"].items()
    )


def _marked(setting: Setting) -> str:
    if setting.value is None:
        return f"# {setting.name} is not set"
    line = assignment(setting)
    if not setting.is_changed:
        return line
    default = "not set" if setting.default is None else toml_value(setting.default)
    return f"{line}  # changed; default: {default}"
