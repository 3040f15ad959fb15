"""Finder's tags: byte for byte what Finder writes, the user's own kept, nothing read again
because of them.
"""

from __future__ import annotations

import contextlib
import os
import plistlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrd import system_commands
from ocrd.config import FinderConfig
from ocrd.finder import tags
from ocrd.inbox.file_state import stat_file


@pytest.fixture(autouse=True)
def on_a_mac(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_commands, "is_macos", lambda: True)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "scan.png"
    path.write_bytes(b"picture")
    try:
        tags.put(path, b"probe")
    except OSError:
        pytest.skip("this file system keeps no attributes")
    path.unlink()
    path.write_bytes(b"picture")
    return path


def mark(path: Path, *, read: bool, config: FinderConfig | None = None) -> None:
    marker = tags.marker(config or FinderConfig())
    assert marker is not None
    marker(path, read)


def marked(path: Path, *, read: bool, config: FinderConfig | None = None) -> list[str]:
    mark(path, read=read, config=config)
    return tags.parse(tags.get(path))


def test_a_tag_is_byte_for_byte_what_finder_writes(picture: Path) -> None:
    mark(picture, read=True)
    assert tags.get(picture) == plistlib.dumps(["OCR\n4"], fmt=plistlib.FMT_BINARY)


def test_the_users_tags_stay_in_their_order(picture: Path) -> None:
    tags.put(picture, plistlib.dumps(["Invoices\n2", "2026"], fmt=plistlib.FMT_BINARY))
    assert marked(picture, read=True) == ["Invoices\n2", "2026", "OCR\n4"]
    assert marked(picture, read=False) == ["Invoices\n2", "2026", "OCR failed\n6"]
    assert marked(picture, read=True) == ["Invoices\n2", "2026", "OCR\n4"]


def test_a_tag_that_is_there_keeps_the_colour_that_the_user_gave_it(picture: Path) -> None:
    tags.put(picture, plistlib.dumps(["OCR\n5"], fmt=plistlib.FMT_BINARY))
    assert marked(picture, read=True) == ["OCR\n5"]


def test_names_and_colours_are_the_users_choice(picture: Path) -> None:
    config = FinderConfig(
        done_tag="Text da", done_colour="green", failed_tag="kaputt", failed_colour="none"
    )
    assert marked(picture, read=False, config=config) == ["kaputt\n0"]
    assert marked(picture, read=True, config=config) == ["Text da\n2"]


def test_a_tag_changes_nothing_by_which_a_file_is_known(picture: Path) -> None:
    before = stat_file(picture).fingerprint
    assert marked(picture, read=True) and marked(picture, read=False)
    assert stat_file(picture).fingerprint == before


@pytest.mark.parametrize("value", [b"", b"rubbish", b"bplist00" + b"\xff" * 40, plistlib.dumps({"a": 1}),
                                   plistlib.dumps([1, 2])])  # fmt: skip
def test_what_is_no_list_of_tags_is_left_alone(picture: Path, value: bytes) -> None:
    tags.put(picture, value)
    mark(picture, read=True)
    assert tags.get(picture) == value


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_value_error(value: bytes) -> None:
    for broken in (value, b"bplist00" + value):
        with contextlib.suppress(ValueError):
            assert all(isinstance(tag, str) for tag in tags.parse(broken))


def test_a_file_that_is_gone_or_behind_a_link_is_not_marked(picture: Path) -> None:
    link = picture.with_name("link.png")
    link.symlink_to(picture)
    mark(link, read=True)
    mark(picture.with_name("gone.png"), read=True)
    with pytest.raises(OSError):
        tags.get(picture)


def test_a_disk_that_knows_no_attributes_is_no_trouble(
    picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def refuse(path: Path, value: bytes) -> None:
        asked.append(path)
        raise OSError(95, "not supported")

    monkeypatch.setattr(tags, "put", refuse)
    mark(picture, read=True)
    assert asked == [picture]


def test_nothing_is_marked_elsewhere_or_when_it_is_not_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert tags.marker(FinderConfig(tags=False)) is None
    monkeypatch.setattr(system_commands, "is_macos", lambda: False)
    assert tags.marker(FinderConfig()) is None


@given(st.lists(st.text(min_size=1)), st.booleans())
def test_marking_twice_is_marking_once(present: list[str], read: bool) -> None:
    name, other = ("OCR", "OCR failed") if read else ("OCR failed", "OCR")
    once = tags.merged(present, name, colour=4, instead_of=other)
    assert tags.merged(once, name, colour=4, instead_of=other) == once
    assert [tag for tag in once if tag.split("\n")[0] not in ("OCR", "OCR failed")] == [
        tag for tag in present if tag.split("\n")[0] not in ("OCR", "OCR failed")
    ]
    assert sum(tag.split("\n")[0] == name for tag in once) >= 1


def test_linux_keeps_them_in_the_users_own_space(picture: Path) -> None:
    if os.uname().sysname != "Linux":
        pytest.skip("a Mac has no such spaces")
    mark(picture, read=True)
    assert os.listxattr(picture) == ["user.com.apple.metadata:_kMDItemUserTags"]
