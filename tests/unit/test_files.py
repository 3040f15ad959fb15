"""Files are written completely or not at all, and no existing name is taken."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
from pathlib import Path

import pytest

from ocrd.files import hash_bytes, hash_file, next_free_path, numbered_names, write_atomically


def test_a_written_file_replaces_the_one_before(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a.json", b"one")
    write_atomically(tmp_path / "a.json", b"two")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("a.json", b"two")]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    write_atomically(tmp_path / "a.json", b"one")
    monkeypatch.setattr("ocrd.files.sync_descriptor", fail)
    with pytest.raises(OSError, match="No space"):
        write_atomically(tmp_path / "a.json", b"two")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("a.json", b"one")]


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP])
def test_a_taken_name_stays_taken_on_a_disk_without_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, "no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    write_atomically(tmp_path / "a.txt", b"one")
    with pytest.raises(FileExistsError):
        write_atomically(tmp_path / "a.txt", b"two", may_replace=lambda _path: False)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("a.txt", b"one")]


def test_names_are_numbered_from_2() -> None:
    names = list(itertools.islice(numbered_names("scan.png"), 3))
    assert names == ["scan.png", "scan.png-2", "scan.png-3"]


def test_the_next_free_path_passes_over_files_folders_and_broken_links(tmp_path: Path) -> None:
    assert next_free_path(tmp_path / "a") == tmp_path / "a"
    (tmp_path / "a").touch()
    (tmp_path / "a-2").mkdir()
    (tmp_path / "a-3").symlink_to(tmp_path / "nowhere")
    assert next_free_path(tmp_path / "a") == tmp_path / "a-4"


def test_hashes_are_sha256_in_hexadecimal(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"picture")
    expected = hashlib.sha256(b"picture").hexdigest()
    assert hash_file(tmp_path / "a") == hash_bytes(b"picture") == expected
