"""A setting with a new name is still read under its old one."""

from __future__ import annotations

from ocrd.config.json_schema import schema_root
from ocrd.config.renames import RENAMED, RenamedSetting, replace_old_names


def test_every_rename_leads_from_an_unknown_name_to_a_setting() -> None:
    known = {
        f"{table}.{setting}"
        for table, node in schema_root()["properties"].items()
        for setting in node.get("items", node)["properties"]
    }
    assert set(RENAMED.values()) <= known and not set(RENAMED) & known


def test_nothing_changes_without_old_names() -> None:
    data = {"engine": {"batch": 2}, "inbox": [{"path": "/a"}], "strange": 3}
    renaming = replace_old_names(data, {"engine.pages": "engine.batch"})
    assert renaming.data == data and not renaming.warnings and not renaming.problems


def test_the_old_name_is_replaced_in_a_copy() -> None:
    data = {"engine": {"pages": 2}}
    renaming = replace_old_names(data, {"engine.pages": "engine.batch"})
    assert renaming.data == {"engine": {"batch": 2}} and data == {"engine": {"pages": 2}}
    assert renaming.warnings == (RenamedSetting("engine.pages", "engine.batch"),)


def test_each_inbox_has_its_own_warning() -> None:
    data = {"inbox": [{"wait": 1}, {"settle": 2}, {"wait": 3}]}
    renaming = replace_old_names(data, {"inbox.wait": "inbox.settle"})
    assert renaming.data == {"inbox": [{"settle": 1}, {"settle": 2}, {"settle": 3}]}
    assert [warning.old for warning in renaming.warnings] == ["inbox[1].wait", "inbox[3].wait"]


def test_a_setting_can_move_to_another_table() -> None:
    renaming = replace_old_names({"engine": {"dpi": 300}}, {"engine.dpi": "documents.dpi"})
    assert renaming.data == {"engine": {}, "documents": {"dpi": 300}}


def test_both_names_together_are_a_mistake() -> None:
    data = {"engine": {"pages": 2, "batch": 3}}
    renaming = replace_old_names(data, {"engine.pages": "engine.batch"})
    assert renaming.problems == (
        "engine.pages is the old name of engine.batch, and both are given; remove engine.pages",
    )
    assert renaming.data == {"engine": {"batch": 3}} and not renaming.warnings


def test_what_is_not_a_table_is_left_for_the_check() -> None:
    data = {"engine": 3, "inbox": ["/a", 4], "documents": "x"}
    renamed = {"engine.a": "engine.batch", "inbox.a": "inbox.settle", "log.dpi": "documents.dpi"}
    assert replace_old_names(data, renamed).data == data
    moved = replace_old_names({"log": {"dpi": 3}, "documents": 4}, renamed)
    assert moved.data == {"log": {"dpi": 3}, "documents": 4}
