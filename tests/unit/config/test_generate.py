"""The example, the page of the docs and the JSON schema are what the schema says."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from ocrd.config import InvalidConfig, parse_config
from ocrd.config.document import example_text
from ocrd.config.generate import (
    EXAMPLE,
    PAGE,
    SCHEMA,
    generated_files,
    main,
    outdated_files,
    settings_in_markdown,
)
from ocrd.config.json_schema import schema_root
from tests.unit.config.test_errors import mutated

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / EXAMPLE).read_text(encoding="utf-8")
EDITOR_SCHEMA = json.loads((ROOT / SCHEMA).read_text(encoding="utf-8"))


def every_key() -> set[str]:
    return {
        f"{table}.{name}"
        for table, node in schema_root()["properties"].items()
        for name in node.get("items", node)["properties"]
    }


def keys_in(example: str) -> set[str]:
    """The settings that an example contains, also those that are commented out."""
    table = ""
    found = set()
    for line in example.splitlines():
        if header := re.fullmatch(r"\[{1,2}(\w+)\]{1,2}", line):
            table = header[1]
        elif setting := re.match(r"(?:# )?(\w+) = ", line):
            found.add(f"{table}.{setting[1]}")
    return found


def uncommented(example: str) -> str:
    return re.sub(r"^# (\w+ = )", r"\1", example, flags=re.MULTILINE)


def test_the_generated_files_are_up_to_date() -> None:
    assert outdated_files(ROOT) == [], "run: make config-docs"


def test_the_example_contains_every_setting_and_no_other() -> None:
    assert keys_in(TEXT) == every_key()


def test_a_setting_that_is_missing_from_the_example_is_noticed() -> None:
    text = example_text()
    for key in every_key():
        table, name = key.split(".")
        before, header, rest = text.partition(f"[{table}]")
        rest = re.sub(rf"^(# )?{name} = .*\n", "", rest, count=1, flags=re.MULTILINE)
        assert every_key() - keys_in(before + header + rest) == {key}


def test_the_example_is_the_default_configuration() -> None:
    assert parse_config(tomllib.loads(TEXT), EXAMPLE) == parse_config({}, "nothing")


def test_the_example_is_valid_with_its_comments_removed() -> None:
    data = tomllib.loads(uncommented(TEXT))
    assert {f"{t}.{k}" for t, v in data.items() for k in (v[0] if t == "inbox" else v)} == (
        every_key()
    )
    config = parse_config(data, EXAMPLE)
    assert config.model.path == "pocket" and config.engine.memory_ceiling == 20


def test_the_json_schema_is_valid_and_accepts_the_example() -> None:
    jsonschema.Draft7Validator.check_schema(EDITOR_SCHEMA)
    for text in ("", TEXT, uncommented(TEXT)):
        jsonschema.Draft7Validator(EDITOR_SCHEMA).validate(tomllib.loads(text))


@pytest.mark.parametrize(
    "wrong",
    [
        {"engine": {"batch": 9}},
        {"engine": {"batch": "all"}},
        {"engine": {"devise": "cpu"}},
        {"engine": {"page_deadline": 0}},
        {"inbox": []},
        {"inbox": [{"path": "scans"}]},
        {"inbox": [{"formats": []}]},
        {"inbox": [{"task": "dance"}]},
        {"model": {"repo": "name"}},
        {"power": {"keep_awake": "yes"}},
        {"dance": {}},
    ],
)
def test_the_json_schema_refuses_mistakes(wrong: dict[str, Any]) -> None:
    assert not jsonschema.Draft7Validator(EDITOR_SCHEMA).is_valid(wrong)


@pytest.mark.parametrize(
    "unusual",
    [
        {"engine": {"batch": 8, "page_deadline": 1, "memory_ceiling": 0.5}},
        {"submit": {"task": "prompt: read\nall ", "name": "text of {stem}", "settle": 0}},
        {"inbox": [{"task": "locate:total", "on_done": ["~/hook", ""], "formats": ["md"]}]},
        {"inbox": [{"path": "~"}, {"path": "/a b", "output": "~/out"}]},
        {"model": {"path": "models/mine", "folder": "/m", "revision": "v1.0_x-2"}},
        {"finder": {"done_tag": "\u00e9 \u5b57"}},
    ],
)
def test_the_json_schema_accepts_whatever_ocrd_accepts(unusual: dict[str, Any]) -> None:
    parse_config(unusual, "c.toml")
    jsonschema.Draft7Validator(EDITOR_SCHEMA).validate(unusual)


def test_the_json_schema_accepts_random_changes_that_ocrd_accepts() -> None:
    accepted = 0
    for seed in range(5000, 6000):
        data, _ = mutated(seed)
        try:
            parse_config(data, "c.toml")
        except InvalidConfig:
            continue
        accepted += 1
        jsonschema.Draft7Validator(EDITOR_SCHEMA).validate(data)
    assert accepted > 10


def test_the_json_schema_has_no_references_and_none_of_our_own_words() -> None:
    text = json.dumps(EDITOR_SCHEMA)
    assert "$ref" not in text and "x-allowed" not in text and '"null"' not in text


def test_the_page_has_a_row_for_every_setting() -> None:
    assert settings_in_markdown() in (ROOT / PAGE).read_text(encoding="utf-8")
    rows = [line for line in settings_in_markdown().splitlines() if line.startswith("| `")]
    assert len(rows) == len(every_key())
    # Four cells: a bar inside a cell is escaped.
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 5 for row in rows)


def copied(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A source tree with the generated files alone."""
    (folder / "docs").mkdir()
    for name in (EXAMPLE, SCHEMA, PAGE):
        shutil.copyfile(ROOT / name, folder / name)
    monkeypatch.setattr("ocrd.paths.PACKAGE", folder / "ocrd")
    return folder


def test_check_names_each_file_that_is_not_up_to_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = copied(tmp_path, monkeypatch)
    assert main(["--check"]) == 0 and capsys.readouterr().out == ""
    (root / EXAMPLE).write_text(TEXT.replace("keep = 5", "keep = 6"), encoding="utf-8")
    (root / SCHEMA).unlink()
    assert main(["--check"]) == 1
    out = capsys.readouterr().out
    assert f"{EXAMPLE}: not up to date; run: make config-docs" in out and SCHEMA in out
    assert PAGE not in out and not (root / SCHEMA).exists()


def test_generating_writes_what_is_not_up_to_date_and_keeps_the_rest_of_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = copied(tmp_path, monkeypatch)
    page = (root / PAGE).read_text(encoding="utf-8")
    (root / PAGE).write_text(page.replace("| `dpi` |", "| `old` |"), encoding="utf-8")
    (root / EXAMPLE).unlink()
    assert main([]) == 0 and main(["--check"]) == 0
    assert (root / PAGE).read_text(encoding="utf-8") == page
    assert all(path.read_text(encoding="utf-8") == t for path, t in generated_files(root).items())
