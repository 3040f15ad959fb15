"""Values are written as TOML that gives the same values again."""

from __future__ import annotations

import datetime
import math
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrd.config.toml_text import toml_key, toml_value

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
SCALARS = (
    TEXT
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.dates()
    | st.times()
    | st.datetimes()
)
VALUES = st.recursive(SCALARS, lambda v: st.lists(v) | st.dictionaries(TEXT, v), max_leaves=10)


@given(TEXT, VALUES)
def test_what_is_written_is_read_as_the_same(key: str, value: Any) -> None:
    text = f"{toml_key(key)} = {toml_value(value)}"
    assert len(text.split("\n")) == 1 and tomllib.loads(text) == {key: value}


def test_paths_and_tuples_are_strings_and_lists() -> None:
    assert toml_value((Path("/a b"), "c")) == '["/a b", "c"]'


def test_not_a_number_and_huge_numbers_are_written_too() -> None:
    assert math.isnan(tomllib.loads(f"v = {toml_value(math.nan)}")["v"])
    assert tomllib.loads(f"v = {toml_value(1 << 20_000)}")["v"] == 1 << 20_000


def test_what_toml_does_not_have_is_refused() -> None:
    with pytest.raises(TypeError, match="timedelta"):
        toml_value(datetime.timedelta(1))
