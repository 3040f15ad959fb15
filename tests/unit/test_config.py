"""The configuration works as written, and says plainly what is wrong with it."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from ocrd import paths
from ocrd.config import Config, load_config, model_dir, parse_config
from ocrd.errors import ConfigError


def parse(text: str) -> Config:
    return parse_config(tomllib.loads(text), "c.toml")


@pytest.mark.parametrize("model", [
    {"repo": "org/n\u00e4me"}, {"repo": "name"}, {"repo": "a/b/c"}, {"repo": "../b"}, {"repo": "a/.."},
    {"repo": "a/b\n"},
    {"revision": ".."}, {"revision": "a/b"}, {"revision": "x" * 300}, {"revision": "v1~new"}, {"folder": "models"},
])  # fmt: skip
def test_names_that_could_lead_elsewhere_are_refused(model: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"model\."):
        parse_config({"model": model}, "test")


def test_the_example_holds_every_key_at_its_default() -> None:
    example = load_config(paths.shipped("config.example.toml"))
    assert example == parse("")


def test_several_inboxes_each_with_its_own_settings() -> None:
    config = parse(
        '[model]\npath = "pocket"\n[engine]\ndevice = "cpu"\n'
        '[[inbox]]\npath = "/a"\nsettle = 1.0\nformats = ["txt", "json"]\n'
        '[[inbox]]\npath = "/b"\ntask = "markdown"\nformats = ["md"]\noutput = "/out"\n'
    )
    assert [i.path for i in config.inbox] == [Path("/a"), Path("/b")]
    assert config.inbox[1].task == "markdown" and config.inbox[1].output == Path("/out")
    assert model_dir(config.model) == paths.POCKET_MODEL


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[engine]\ndevise = 'cpu'", ["c.toml", "unknown key engine.devise", "device"]),
        ("[engine]\ndevice = 'gpu'", ["engine.device", "'gpu'", "'mps'"]),
        (
            "[[inbox]]\npath = '/a'\nsettle = -1",
            ["inbox.0.settle", "-1", "greater than or equal to 0.1"],
        ),
        ("[[inbox]]\npath = 'relative'", ["inbox.0.path", "absolute"]),
        ("[[inbox]]\npath = '/a'\nformats = ['doc']", ["inbox.0.formats", "'doc'", "'txt'"]),
        ("[[inbox]]\npath = '/a'\nname = '../{name}'", ["inbox.0.name", "slash"]),
        ("[[inbox]]\npath = '/a'\ntask = 'dance'", ["inbox.0.task", "'dance'", "locate"]),
        ("[[inbox]]\npath = '/a'\n[[inbox]]\npath = '/a/b'", ["/a/b", "lie in each other"]),
        ("[[inbox]]\npath = '/a'\non_done = ['hook.sh']", ["inbox.0.on_done", "absolute"]),
        ("[[inbox]]\npath = '/a'\non_done = '/hook.sh'", ["inbox.0.on_done", "list"]),
        ("[submit]\noutput = '/out'", ["unknown key submit.output", "on_done"]),
        ("[finder]\ndone_tag = 'OCR failed'", ["finder", "done_tag and failed_tag must differ"]),
        ('[finder]\ndone_tag = "a\\nb"', ["finder.done_tag", "one line"]),
        ("[finder]\ndone_colour = 'pink'", ["finder.done_colour", "'pink'", "'purple'"]),
        ("[power]\nkeep_awake = 3", ["power.keep_awake", "3"]),
        ("[surprise]\n", ["unknown key surprise", "inbox"]),
        ("inbox = 3", ["inbox", "3", "list"]),
        ("engine = 3", ["engine", "3", "table"]),
        ("[inbox]\npath = '/a'", ["[[inbox]]"]),
        ("[[inbox]]\npath = '~nobody-of-that-name/x'", ["inbox.0.path", "user"]),
        ('[[inbox]]\npath = "/a\\u0000"', ["inbox.0.path", "null"]),
        ("[model]\npath = '~nobody-of-that-name/x'", ["model.path", "user"]),
        ("[model]\nrevision = '../..'", ["model.revision"]),
        ("[model]\nrevision = 'a/..'", ["model.revision"]),
        ("[model]\nrepo = '../../etc'", ["model.repo"]),
        ("[model]\nrepo = 'a/../../b'", ["model.repo"]),
    ],
)
def test_a_mistake_is_named_with_what_was_given_and_what_is_allowed(
    text: str, words: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    for word in words:
        assert word in str(caught.value)


def test_a_named_file_that_is_missing_is_an_error_and_a_default_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_config(tmp_path / "none.toml")
    monkeypatch.delenv("OCRD_CONFIG", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert load_config() == parse("")


def test_only_what_has_to_be_mended_is_said() -> None:
    with pytest.raises(ConfigError) as caught:
        parse("[[inbox]]\npath = '/a'\nsettle = -1")
    assert "at least 1" not in str(caught.value) and ";" not in str(caught.value)


def test_broken_toml_is_named_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text("[engine\n")
    with pytest.raises(ConfigError, match=r"c\.toml.*line 1"):
        load_config(path)


@pytest.mark.parametrize("engine", [
    {"mps_high_watermark": 0.0}, {"mps_high_watermark": 0.5, "mps_low_watermark": 0.6}, {"max_fallbacks": 0},
])  # fmt: skip
def test_marks_that_torch_refuses_or_that_endanger_the_system_are_refused(
    engine: dict[str, float],
) -> None:
    with pytest.raises(ConfigError, match="engine"):
        parse_config({"engine": engine}, "test")
