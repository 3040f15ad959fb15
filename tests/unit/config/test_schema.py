"""Every setting is described, and only safe values are accepted."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ocrd import paths
from ocrd.config import Config, FilePolicy, InboxConfig, SubmitConfig, model_dir, parse_config
from ocrd.config.json_schema import Node, schema_root
from ocrd.errors import ConfigError

UNITS = (
    "second",
    "gb ",
    "mb ",
    "pixels",
    "dots per inch",
    "share of",
    "how many",
    "number of tokens",
)


def parse(text: str) -> Config:
    return parse_config(tomllib.loads(text), "c.toml")


def every_setting() -> Iterator[tuple[str, Node]]:
    for table, node in schema_root()["properties"].items():
        for name, setting in node.get("items", node)["properties"].items():
            yield f"{table}.{name}", setting


def test_every_table_and_every_setting_has_a_description() -> None:
    tables = schema_root()["properties"]
    for key, node in [*tables.items(), *every_setting()]:
        words = node.get("description", "")
        assert len(words) > 10 and words.endswith(".") and words[0].isupper(), (key, words)


def test_every_number_is_described_with_its_unit() -> None:
    for key, node in every_setting():
        if {option["type"] for option in node.get("anyOf", [node])} & {"integer", "number"}:
            assert any(unit in node["description"].lower() for unit in UNITS), (
                key,
                node["description"],
            )


def test_a_setting_without_a_default_has_an_example() -> None:
    for key, node in every_setting():
        assert "default" in node or "examples" in node, key


def test_several_inboxes_each_with_its_own_settings() -> None:
    config = parse(
        '[model]\npath = "pocket"\n[engine]\ndevice = "cpu"\n'
        '[[inbox]]\npath = "/a"\nsettle = 1.0\nformats = ["txt", "json"]\n'
        '[[inbox]]\npath = "/b"\ntask = "markdown"\nformats = ["md"]\noutput = "/out"\n'
    )
    assert [i.path for i in config.inbox] == [Path("/a"), Path("/b")]
    assert config.inbox[1].task == "markdown" and config.inbox[1].output == Path("/out")
    assert model_dir(config.model) == paths.POCKET_MODEL


def test_submitted_files_and_inboxes_have_the_same_policy_settings() -> None:
    policy = set(FilePolicy.model_fields)
    assert set(SubmitConfig.model_fields) == policy
    assert set(InboxConfig.model_fields) == policy | {"path", "output", "recursive"}


def test_home_is_put_into_every_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    config = parse(
        '[model]\npath = "~/m"\nfolder = "~/f"\n[submit]\non_done = ["~/hook", "~"]\n'
        '[[inbox]]\npath = "~/i"\noutput = "~/o"\n'
    )
    assert config.model.path == "/home/me/m" and config.model.folder == Path("/home/me/f")
    assert config.submit.on_done == ("/home/me/hook", "~")
    assert config.inbox[0].path == Path("/home/me/i")
    assert config.inbox[0].output == Path("/home/me/o")
    assert parse("").inbox[0].path == Path("/home/me/OCR/inbox")


@pytest.mark.parametrize(
    "model",
    [
        {"repo": "org/n\u00e4me"},
        {"repo": "name"},
        {"repo": "a/b/c"},
        {"repo": "../b"},
        {"repo": "a/.."},
        {"repo": "../../etc"},
        {"repo": "a/../../b"},
        {"repo": "a/b\n"},
        {"revision": ".."},
        {"revision": "../.."},
        {"revision": "a/b"},
        {"revision": "a/.."},
        {"revision": "x" * 300},
        {"revision": "v1~new"},
        {"folder": "models"},
    ],
)
def test_names_that_could_lead_elsewhere_are_refused(model: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"model\."):
        parse_config({"model": model}, "test")


@pytest.mark.parametrize(
    "engine",
    [
        {"mps_high_watermark": 0.0},
        {"mps_high_watermark": 0.5, "mps_low_watermark": 0.6},
        {"max_fallbacks": 0},
    ],
)
def test_watermarks_that_torch_refuses_or_that_endanger_the_system_are_refused(
    engine: dict[str, float],
) -> None:
    with pytest.raises(ConfigError, match="engine"):
        parse_config({"engine": engine}, "test")


@pytest.mark.parametrize(
    "wrong",
    [
        {"engine": {"skip_blank": "true"}},
        {"engine": {"skip_blank": 1}},
        {"engine": {"page_deadline": "60"}},
        {"engine": {"page_deadline": True}},
        {"engine": {"batch": 2.0}},
        {"log": {"keep": "5"}},
        {"submit": {"name": 3}},
    ],
)
def test_values_are_not_converted(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        parse_config(wrong, "test")


def test_a_whole_number_is_a_number() -> None:
    assert parse("[engine]\npage_deadline = 60\n").engine.page_deadline == 60.0
