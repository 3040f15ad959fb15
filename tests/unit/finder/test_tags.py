"""Finder tags: byte for byte what Finder writes.

The user's own tags stay, and a tag never causes a file to be read again.
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
from ocrd.finder.tags import Tag
from ocrd.inbox.file_state import stat_file


@pytest.fixture(autouse=True)
def on_a_mac(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_commands, "is_macos", lambda: True)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "scan.png"
    path.write_bytes(b"picture")
    try:
        tags.write_attribute(path, b"probe")
    except OSError:
        pytest.skip("this file system has no extended attributes")
    path.unlink()
    path.write_bytes(b"picture")
    return path


def tag(path: Path, *, read: bool, config: FinderConfig | None = None) -> None:
    tagger = tags.make_tagger(config or FinderConfig())
    assert tagger is not None
    tagger.tag(path, read=read)


def tags_after(path: Path, *, read: bool, config: FinderConfig | None = None) -> list[str]:
    tag(path, read=read, config=config)
    return tags.parse_tags(tags.read_attribute(path))


def test_a_tag_is_byte_for_byte_what_finder_writes(picture: Path) -> None:
    tag(picture, read=True)
    assert tags.read_attribute(picture) == plistlib.dumps(["OCR\n4"], fmt=plistlib.FMT_BINARY)


def test_the_users_tags_stay_in_their_order(picture: Path) -> None:
    users_tags = plistlib.dumps(["Invoices\n2", "2026"], fmt=plistlib.FMT_BINARY)
    tags.write_attribute(picture, users_tags)
    assert tags_after(picture, read=True) == ["Invoices\n2", "2026", "OCR\n4"]
    assert tags_after(picture, read=False) == ["Invoices\n2", "2026", "OCR failed\n6"]
    assert tags_after(picture, read=True) == ["Invoices\n2", "2026", "OCR\n4"]


def test_an_existing_tag_keeps_the_colour_that_the_user_gave_it(picture: Path) -> None:
    tags.write_attribute(picture, plistlib.dumps(["OCR\n5"], fmt=plistlib.FMT_BINARY))
    assert tags_after(picture, read=True) == ["OCR\n5"]


def test_names_and_colours_are_configurable(picture: Path) -> None:
    config = FinderConfig(
        done_tag="Text da", done_colour="green", failed_tag="kaputt", failed_colour="none"
    )
    assert tags_after(picture, read=False, config=config) == ["kaputt\n0"]
    assert tags_after(picture, read=True, config=config) == ["Text da\n2"]


def test_a_tag_does_not_change_a_files_fingerprint(picture: Path) -> None:
    before = stat_file(picture).fingerprint
    assert tags_after(picture, read=True)
    assert tags_after(picture, read=False)
    assert stat_file(picture).fingerprint == before


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"rubbish",
        b"bplist00" + b"\xff" * 40,
        plistlib.dumps({"a": 1}),
        plistlib.dumps([1, 2]),
    ],
)
def test_an_attribute_that_is_not_a_list_of_tags_is_left_alone(picture: Path, value: bytes) -> None:
    tags.write_attribute(picture, value)
    tag(picture, read=True)
    assert tags.read_attribute(picture) == value


@given(st.binary(max_size=200))
def test_broken_bytes_raise_only_value_error(value: bytes) -> None:
    for broken in (value, b"bplist00" + value):
        with contextlib.suppress(ValueError):
            assert all(isinstance(tag, str) for tag in tags.parse_tags(broken))


def test_a_missing_file_and_the_target_of_a_link_are_not_tagged(picture: Path) -> None:
    link = picture.with_name("link.png")
    link.symlink_to(picture)
    tag(link, read=True)
    tag(picture.with_name("gone.png"), read=True)
    with pytest.raises(OSError):
        tags.read_attribute(picture)


def test_a_file_system_without_attributes_is_only_a_warning(
    picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = []

    def refuse(path: Path, value: bytes) -> None:
        attempts.append(path)
        raise OSError(95, "not supported")

    monkeypatch.setattr(tags, "write_attribute", refuse)
    tag(picture, read=True)
    assert attempts == [picture]


def test_nothing_is_tagged_without_finder_or_when_tags_are_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert tags.make_tagger(FinderConfig(tags=False)) is None
    monkeypatch.setattr(system_commands, "is_macos", lambda: False)
    assert tags.make_tagger(FinderConfig()) is None


@given(st.lists(st.text(min_size=1)), st.booleans())
def test_tagging_twice_is_the_same_as_tagging_once(before: list[str], read: bool) -> None:
    name, other = ("OCR", "OCR failed") if read else ("OCR failed", "OCR")
    new = Tag(name, 4)
    once = tags.merge_tag(before, new, remove=other)
    assert tags.merge_tag(once, new, remove=other) == once
    ours = ("OCR", "OCR failed")
    users_before = [tag for tag in before if tag.split("\n")[0] not in ours]
    assert [tag for tag in once if tag.split("\n")[0] not in ours] == users_before
    assert sum(tag.split("\n")[0] == name for tag in once) >= 1


def test_linux_keeps_tags_in_the_users_namespace(picture: Path) -> None:
    if os.uname().sysname != "Linux":
        pytest.skip("macOS has no such namespaces")
    tag(picture, read=True)
    assert os.listxattr(picture) == ["user.com.apple.metadata:_kMDItemUserTags"]
