"""The record of an installation survives interruptions, and a broken record is an empty one."""

from __future__ import annotations

from pathlib import Path

import pytest

from ocrd.service.install_record import RECORD_FILE, InstallRecord, read_record


def test_a_record_is_saved_with_each_change(tmp_path: Path) -> None:
    record = read_record(tmp_path)
    record.add_folder(Path("/a"))
    record.add_planned_write(Path("/f"), "1")
    record.add_planned_write(Path("/f"), "2")
    again = read_record(tmp_path)
    assert again == record
    assert again.wrote(Path("/f"), "1")
    assert again.wrote(Path("/f"), "2")
    again.confirm_write(Path("/f"), "2")
    assert not read_record(tmp_path).wrote(Path("/f"), "1")


@pytest.mark.parametrize(
    "contents",
    [
        "",
        "[]",
        '{"surprise": 1}',
        "\xff",
        '{"files": []}',
        '{"files": null}',
        '{"folders": [1]}',
        '{"files": {"": ["y"]}}',
        '{"domain": "bogus"}',
        '{"folders": ["relative"]}',
    ],
)
def test_a_record_that_cannot_be_read_is_empty(tmp_path: Path, contents: str) -> None:
    (tmp_path / RECORD_FILE).write_text(contents, encoding="latin-1")
    assert read_record(tmp_path) == InstallRecord(tmp_path / RECORD_FILE)
