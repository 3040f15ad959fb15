"""The settings in effect are printed as TOML that gives the same configuration again."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from ocrd.config import Config, parse_config
from ocrd.config.document import (
    changed_keys,
    default_config,
    effective_text,
    effective_values,
    example_text,
)

CHANGED: dict[str, Any] = {
    "engine": {"device": "cpu", "memory_ceiling": 3.5},
    "finder": {"done_tag": 'a "tag" \u00e9', "tags": True},
    "submit": {"on_done": ["/x y", "--to", "\\"]},
    "inbox": [
        {"path": "/a", "formats": ["md"]},
        {"path": "/b\t", "output": "/out", "name": "{stem}"},
    ],
}


def parse(text: str) -> Config:
    return parse_config(tomllib.loads(text), "c.toml")


@pytest.mark.parametrize("data", [{}, CHANGED, {"inbox": [{"path": "/a"}]}])
@pytest.mark.parametrize("explain", [False, True])
@pytest.mark.parametrize("only_changed", [False, True])
def test_what_is_shown_is_the_same_configuration(
    data: dict[str, Any],
    explain: bool,
    only_changed: bool,
) -> None:
    config = parse_config(data, "c.toml")
    assert parse(effective_text(config, explain=explain, only_changed=only_changed)) == config
    assert parse_config(effective_values(config, only_changed=True), "c.toml") == config


def test_an_inbox_at_its_defaults_beside_a_changed_one_is_kept() -> None:
    config = parse_config({"inbox": [{}, {"path": "/b"}]}, "c.toml")
    assert len(parse(effective_text(config, only_changed=True)).inbox) == 2
    assert len(effective_values(config, only_changed=True)["inbox"]) == 2


def test_changed_settings_are_marked_with_their_defaults() -> None:
    lines = effective_text(parse_config(CHANGED, "c.toml")).splitlines()
    assert 'device = "cpu"  # changed; default: "auto"' in lines
    assert "memory_ceiling = 3.5  # changed; default: not set" in lines
    assert 'dtype = "auto"' in lines and "# folder is not set" in lines
    assert "tags = true" in lines


def test_changed_settings_are_listed_by_their_paths() -> None:
    assert changed_keys(parse_config(CHANGED, "c.toml")) == [
        "engine.device",
        "engine.memory_ceiling",
        "finder.done_tag",
        "submit.on_done",
        "inbox[1].path",
        "inbox[1].formats",
        "inbox[2].path",
        "inbox[2].output",
        "inbox[2].name",
    ]
    assert changed_keys(default_config()) == []


def test_only_changed_settings_are_shown_when_asked_for() -> None:
    text = effective_text(parse_config({"log": {"keep": 7}}, "c.toml"), only_changed=True)
    assert text == "[log]\nkeep = 7  # changed; default: 5\n"
    assert effective_text(default_config(), only_changed=True) == ""


def test_an_explained_setting_has_its_description_above_it() -> None:
    text = effective_text(parse_config({"log": {"keep": 7}}, "c.toml"), explain=True)
    assert "# How many rotated log files are kept.\n# Allowed: a whole number of at least 1.\n" in (
        text
    )


def test_the_example_does_not_depend_on_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somewhere")
    assert 'path = "~/OCR/inbox"' in example_text() and "somewhere" not in example_text()
    assert all(len(line) <= 100 for line in example_text().splitlines())
