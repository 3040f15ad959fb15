"""``ocrd init`` writes a short file with what people choose, not every default."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from ocrd.config import parse_config
from ocrd.config.starter import starter_text


def test_the_file_is_short_and_points_to_the_rest() -> None:
    text = starter_text()
    assert len(text.splitlines()) < 40 and "ocrd config show" in text
    assert set(tomllib.loads(text)) == {"inbox"}
    assert set(tomllib.loads(text)["inbox"][0]) == {"path", "task", "formats"}


def test_the_file_is_the_default_configuration() -> None:
    assert parse_config(tomllib.loads(starter_text()), "c.toml") == parse_config({}, "c.toml")


@pytest.mark.parametrize("inbox", ["/in box", '/in "box" \\ \t', "/\u00e9\u2028\x7f"])
def test_any_inbox_can_be_named(inbox: str) -> None:
    config = parse_config(tomllib.loads(starter_text(inbox, pocket=True)), "c.toml")
    assert config.inbox[0].path == Path(inbox) and config.model.path == "pocket"


def test_every_setting_is_explained() -> None:
    lines = starter_text(pocket=True).splitlines()
    for number, line in enumerate(lines):
        if " = " in line:
            assert lines[number - 1].startswith("# "), line
