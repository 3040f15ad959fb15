"""A hint leads to the path as the disk spells it, and never through a link."""

from __future__ import annotations

from pathlib import Path

from ocrd.inbox.walk import path_on_disk


def test_a_hint_through_a_linked_folder_is_ignored(root: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.png").write_bytes(b"x")
    (root / "folder").symlink_to(tmp_path / "outside")
    assert path_on_disk(root, ("folder", "secret.png")) is None
    assert path_on_disk(root, ("..", "outside", "secret.png")) is None


def test_a_name_is_found_in_the_form_that_the_disk_has(root: Path) -> None:
    (root / "e\u0301.png").write_bytes(b"x")
    assert path_on_disk(root, ("\u00e9.png",)) == root / "e\u0301.png"
    (root / "\u00e9.png").write_bytes(b"y")
    assert path_on_disk(root, ("\u00e9.png",)) == root / "\u00e9.png"
