"""Pages in any order; a file that cannot be read says why."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from PIL import Image

from ocrd.documents.document import open_document
from ocrd.documents.page import DocumentLimits
from ocrd.errors import (
    DamagedDocument,
    EmptyDocument,
    OversizedDocument,
)
from tests.unit.documents.files import (
    at,
    close,
    refused,
    two_coloured,
)


def test_pages_are_decoded_in_any_order(tmp_path: Path) -> None:
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    pages = [Image.new("RGB", (30, 20), colour) for colour in colours]
    for name in ("a.tif", "a.pdf"):
        pages[0].save(tmp_path / name, save_all=True, append_images=pages[1:])
        with open_document(tmp_path / name) as document:
            assert document.page_count == 3
            assert close(at(document.page(2).image, 5, y=5), colours[2])
            assert [page.index for page in document.pages(start=1)] == [1, 2]
            assert close(at(document.page(0).image, 5, y=5), colours[0])


def test_an_empty_file_is_reported_as_empty(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    assert "empty" in refused(tmp_path / "a.png", EmptyDocument)


def test_too_many_bytes_or_pages_are_oversized(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    pages = [two_coloured(), two_coloured()]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    refused(path, OversizedDocument, limits=DocumentLimits(max_bytes=100))
    refused(path, OversizedDocument, limits=DocumentLimits(max_pages=1))
    refused(path, OversizedDocument, limits=DocumentLimits(max_pixels=80 * 40 - 1))


def test_a_missing_file_is_an_error_of_the_file_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_document(tmp_path / "none.png")


def test_an_impossible_offset_means_damage_but_a_failing_disk_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_coloured().save(tmp_path / "a.png")
    for number, expected in ((errno.EINVAL, DamagedDocument), (errno.EIO, OSError)):

        def fail(*_: object, number: int = number, **__: object) -> None:
            raise OSError(number, "from the decoder")

        monkeypatch.setattr(Image, "open", fail)
        with pytest.raises(expected):
            open_document(tmp_path / "a.png")


def test_an_index_without_a_page_is_not_damage(tmp_path: Path) -> None:
    two_coloured().save(tmp_path / "a.png")
    with open_document(tmp_path / "a.png") as document:
        for index in (-1, 1):
            with pytest.raises(IndexError):
                document.page(index)


def test_an_error_is_one_line(tmp_path: Path) -> None:
    two_coloured().save(tmp_path / "a.heic")
    data = (tmp_path / "a.heic").read_bytes()
    (tmp_path / "a.heic").write_bytes(data[:-20])
    assert "\n" not in refused(tmp_path / "a.heic", DamagedDocument)
