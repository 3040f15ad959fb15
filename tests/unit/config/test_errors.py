"""Every mistake in a configuration gets one sentence in TOML's terms: key, value, rule."""

from __future__ import annotations

import random
import re
import tomllib
from typing import Any

import pytest

from ocrd import paths
from ocrd.config import InvalidConfig, parse_config
from ocrd.config.json_schema import schema_root
from tests.unit.config.wrong_configs import PATH, WRONG_CONFIGS

# Terms of the implementation, which a user does not know.
IMPLEMENTATION_TERMS = re.compile(
    r"literal|constrained|tuple|None|validation|pydantic|_type|type_|model_t|model_a|dict\b|\bfloat\b|\bint\b|"
    r"\bbool\b|\bstr\b|Input|instance|True|False|object|ctx|function-|Path\(|(?<!\w)'\w",
)


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(InvalidConfig) as caught:
        parse_config(tomllib.loads(text), "c.toml")
    return caught.value.problems


@pytest.mark.parametrize(("text", "sentence"), WRONG_CONFIGS)
def test_a_mistake_is_explained_in_one_sentence(text: str, sentence: str) -> None:
    assert problems(text) == (sentence,)


def test_several_mistakes_are_all_named_on_one_line() -> None:
    text = "[log]\nkeep = 0\n[[inbox]]\npath = '/a'\nsettle = 0\n[[inbox]]\npath = 'b'\ntag = 1"
    with pytest.raises(InvalidConfig) as caught:
        parse_config(tomllib.loads(text), "c.toml")
    assert str(caught.value) == (
        "c.toml: 4 errors: (1) log.keep is 0; it must be a whole number of at least 1; "
        "(2) inbox[1].settle is 0; it must be a number from 0.1 to 3600; "
        f'(3) inbox[2].path is "b"; {PATH}; '
        "(4) inbox[2].tag is not a setting; did you mean finder.tags?"
    )


def test_a_single_mistake_is_not_numbered() -> None:
    with pytest.raises(InvalidConfig, match=r"^c\.toml: log\.keep is 0; it must be [^;]*$"):
        parse_config({"log": {"keep": 0}}, "c.toml")


WRONG_VALUES = (
    *("true", "-3", "0", "9", "1e400", "nan", "0.5", "99999999999", '"cpuu"', '""', '"a/b"'),
    *("'true'", "'12'", "[]", "[1, 'txt']", "[[]]", "[{}]", "{}", "{ a = 1 }", "['', 3]"),
    *("1979-05-27", "1979-05-27T07:32:00Z", "07:32:00", '"\\u0000"', '"~x/y"', '"{name}{x}"'),
)


def wrong_value(random_: random.Random) -> Any:
    """A value that fits no setting well, of any type that TOML has."""
    return tomllib.loads(f"value = {random_.choice(WRONG_VALUES)}")["value"]


def mutated(seed: int) -> tuple[dict[str, Any], str]:
    """The example with one setting, name or table changed, and the name of it."""
    random_ = random.Random(seed)
    text = paths.shipped("config.example.toml").read_text(encoding="utf-8")
    data = tomllib.loads(text)
    name = random_.choice(list(data))
    table = data[name][0] if name == "inbox" else data[name]
    key = random_.choice(list(table))
    match random_.choice(["value", "value", "value", "key", "table", "misplaced", "table value"]):
        case "value":
            table[key] = wrong_value(random_)
        case "key":
            at = random_.randrange(len(key))
            changed = key[:at] + random_.choice(["", "_", "x", " ", "é"]) + key[at + 1 :]
            table[changed] = table.pop(key)
            key = changed
        case "table":
            changed = name + random_.choice(["s", "_", " x"])
            data[changed] = data.pop(name)
            key = changed
        case "misplaced":
            data[key] = table.pop(key)
        case "table value":
            data[name] = wrong_value(random_)
            key = name
    return data, key


@pytest.mark.parametrize("seeds", [range(start, start + 100) for start in range(0, 600, 100)])
def test_random_mistakes_are_explained_in_tomls_words(seeds: range) -> None:
    refused = 0
    for seed in seeds:
        data, key = mutated(seed)
        try:
            parse_config(data, "c.toml")
        except InvalidConfig as error:
            refused += 1
            for sentence in error.problems:
                assert not IMPLEMENTATION_TERMS.search(sentence), sentence
                assert "\n" not in sentence and len(sentence) < 500, sentence
            assert any(key in sentence for sentence in error.problems), (key, error.problems)
    assert refused > 60


def test_every_setting_refuses_a_table_with_its_name_and_rule() -> None:
    for name, node in schema_root()["properties"].items():
        for key in node.get("items", node)["properties"]:
            wrong = {key: {"a": 1}}
            (sentence,) = problems_in({name: [wrong] if name == "inbox" else wrong})
            place = f"{name}[1].{key}" if name == "inbox" else f"{name}.{key}"
            assert sentence.startswith(f"{place} is a table; it must be "), sentence


def problems_in(data: dict[str, Any]) -> tuple[str, ...]:
    with pytest.raises(InvalidConfig) as caught:
        parse_config(data, "c.toml")
    return caught.value.problems
