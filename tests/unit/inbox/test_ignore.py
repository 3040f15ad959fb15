"""Which names are read, and which are ignored."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrd.inbox.ignore import ignore_reason, is_ignored_folder

SUFFIXES = frozenset({".png", ".pdf", ".jpg"})
STEMS = st.text(st.characters(exclude_characters="/\0"), min_size=1).filter(
    lambda name: name[0] not in ".~"
)


@pytest.mark.parametrize(
    "name", ["scan.png", "SCAN.PNG", "a b.pdf", "a.png.pdf", "A\u0308.jpg", "\udcff.png", "~.png"]
)
def test_a_readable_name_is_read(name: str) -> None:
    assert ignore_reason(name, SUFFIXES) is None


@pytest.mark.parametrize(
    "name",
    [
        *(
            ".png",
            ".hidden.png",
            "._scan.png",
            ".DS_Store",
            "Icon\r",
            "__MACOSX",
            ".localized",
            "@eaDir",
        ),
        *(
            "~$letter.pdf",
            "scan.png.part",
            "scan.png.partial",
            "scan.png.crdownload",
            "scan.png.download",
        ),
        *(
            "scan.png.tmp",
            ".ocrd-1234.png",
            "scan.png.txt",
            "scan.png.json",
            "scan.png.md",
            "notes.docx",
            "png",
            "",
        ),
    ],
)
def test_hidden_temporary_and_other_names_are_ignored_with_a_reason(name: str) -> None:
    assert ignore_reason(name, SUFFIXES)


def test_our_sidecars_are_never_inputs_even_when_text_is_called_readable() -> None:
    assert ignore_reason("scan.png.txt", frozenset({".txt", ".json", ".md"}))


@given(STEMS, st.sampled_from(sorted(SUFFIXES)), st.booleans())
def test_any_name_that_a_person_gives_is_read(stem: str, suffix: str, upper: bool) -> None:
    assert ignore_reason(stem + (suffix.upper() if upper else suffix), SUFFIXES) is None


@given(STEMS, st.sampled_from([".part", ".tmp", ".crdownload", ".txt", ".json", ".md", ".doc"]))
def test_the_last_suffix_decides(stem: str, suffix: str) -> None:
    assert ignore_reason(f"{stem}.png{suffix}", SUFFIXES)


@given(st.text())
def test_every_text_is_a_valid_name(name: str) -> None:
    reason = ignore_reason(name, SUFFIXES)
    assert reason is None or reason
    assert isinstance(is_ignored_folder(name), bool)


@pytest.mark.parametrize(
    "name", [".git", "__MACOSX", "@eaDir", "a.png.download", "Fotos.photoslibrary", "Notes.app"]
)
def test_bundles_and_hidden_folders_are_not_entered(name: str) -> None:
    assert is_ignored_folder(name)


@pytest.mark.parametrize("name", ["letters", "2024.05", "scans 1", "été"])
def test_folders_of_people_are_entered(name: str) -> None:
    assert not is_ignored_folder(name)
