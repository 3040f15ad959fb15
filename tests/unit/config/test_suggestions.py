"""A suggestion is made for what is nearly right, and for nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from ocrd.config.json_schema import schema_root
from ocrd.config.suggestions import similar_name, similar_value


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("devise", "device"),
        ("DEVICE", "device"),
        ("max-new-tokens", "max_new_tokens"),
        ("max new tokens", "max_new_tokens"),
        ("dvice", "device"),
        ("gpu", None),
        ("", None),
        ("x", None),
    ],
)
def test_only_a_similar_name_is_suggested(name: str, known: str | None) -> None:
    assert similar_name(name, ["device", "cpu", "max_new_tokens"]) == known


@pytest.mark.parametrize(
    ("setting", "value", "meant"),
    [
        ("engine.device", "CPU", "cpu"),
        ("engine.device", "gpu", None),
        ("engine.device", 3, None),
        ("engine.batch", "8", 8),
        ("engine.batch", "9", None),
        ("engine.batch", "Auto", "auto"),
        ("engine.batch", "2.0", None),
        ("engine.batch", "3\nx = 4", None),
        ("engine.page_deadline", "60", 60),
        ("engine.page_deadline", "60 s", None),
        ("engine.page_deadline", "true", None),
        ("documents.dpi", 300.0, 300),
        ("documents.dpi", 3.0, None),
        ("documents.dpi", 300.5, None),
        ("engine.skip_blank", "Yes", True),
        ("engine.skip_blank", "off", False),
        ("engine.skip_blank", 0, False),
        ("engine.skip_blank", 2, None),
        ("engine.skip_blank", "maybe", None),
        ("submit.formats", "markdown", None),
        ("submit.formats", "JSON", ["json"]),
        ("submit.on_done", "~/hook", ["~/hook"]),
        ("submit.on_done", "~/hook -v", None),
        ("submit.on_done", "hook", None),
        ("submit.on_done", "", None),
        ("submit.name", "x", None),
    ],
)
def test_only_a_value_that_is_allowed_is_suggested(setting: str, value: Any, meant: Any) -> None:
    table, name = setting.split(".")
    node = schema_root()["properties"][table]["properties"][name]
    found = similar_value(value, node)
    assert found == meant and type(found) is type(meant)
