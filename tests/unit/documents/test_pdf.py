"""PDF pages are drawn as they are shown; a PDF that cannot be read says why."""

from __future__ import annotations

from pathlib import Path

import pypdfium2 as pdfium
import pytest

from ocrd.documents.page import DocumentLimits
from ocrd.errors import (
    DamagedDocument,
    EmptyDocument,
    EncryptedDocument,
)
from tests.unit.documents.files import (
    at,
    close,
    first_page,
    locked_pdf,
    minimal_pdf,
    refused,
    two_coloured,
)


def test_a_pdf_is_drawn_at_the_configured_resolution(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    two_coloured((144, 72)).save(path, resolution=72)
    assert first_page(path).size == (400, 200)
    assert close(at(first_page(path), 50, y=100), (255, 0, 0))


def test_other_bytes_after_the_pdf_mark_are_damage(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.7\n" + bytes(range(256)) * 20)
    refused(tmp_path / "a.pdf", DamagedDocument)


def test_a_pdf_with_a_password_is_encrypted(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(locked_pdf())
    assert "password" in refused(path, EncryptedDocument)


def test_a_poster_is_drawn_at_a_lower_resolution_instead_of_refused(tmp_path: Path) -> None:
    pdf = pdfium.PdfDocument.new()
    pdf.new_page(14_400, 14_400).close()
    pdf.save(tmp_path / "a.pdf")
    page = first_page(tmp_path / "a.pdf", DocumentLimits(max_pixels=1_000_000))
    assert 900_000 < page.width * page.height <= 1_000_000


def test_a_pdf_without_pages_is_empty_even_after_a_locked_one(tmp_path: Path) -> None:
    (tmp_path / "locked.pdf").write_bytes(locked_pdf())
    refused(tmp_path / "locked.pdf", EncryptedDocument)  # its error stays in pdfium
    objects = [b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[]/Count 0>>"]
    (tmp_path / "a.pdf").write_bytes(minimal_pdf(objects))
    refused(tmp_path / "a.pdf", EmptyDocument)


def test_a_pdf_with_an_unknown_encryption_is_encrypted(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(
        locked_pdf().replace(b"/Filter /Standard", b"/Filter /Odd     ")
    )
    refused(tmp_path / "a.pdf", EncryptedDocument)


@pytest.mark.parametrize("size", [(14_400, 1), (14_400, 14_400), (300, 0.01)])
@pytest.mark.parametrize("most", [1, 1000, 1_000_000])
def test_no_pdf_page_passes_the_pixel_limit(
    tmp_path: Path, size: tuple[float, float], most: int
) -> None:
    pdf = pdfium.PdfDocument.new()
    pdf.new_page(*size).close()
    pdf.save(tmp_path / "a.pdf")
    page = first_page(tmp_path / "a.pdf", DocumentLimits(max_pixels=most))
    assert page.width * page.height <= most


def test_a_truncated_pdf_is_damaged(tmp_path: Path) -> None:
    two_coloured().save(tmp_path / "a.pdf")
    data = (tmp_path / "a.pdf").read_bytes()
    (tmp_path / "a.pdf").write_bytes(data[: len(data) // 2])
    refused(tmp_path / "a.pdf", DamagedDocument)


def test_a_rotated_pdf_page_is_drawn_as_it_is_shown(tmp_path: Path) -> None:
    two_coloured((144, 72)).save(tmp_path / "a.pdf", resolution=72)
    pdf = pdfium.PdfDocument(tmp_path / "a.pdf")
    page = pdf[0]
    page.set_rotation(90)
    page.close()
    pdf.save(tmp_path / "b.pdf")
    pdf.close()
    shown = first_page(tmp_path / "b.pdf")
    assert shown.size == (200, 400)
    assert close(at(shown, 100, y=50), (255, 0, 0)) and close(at(shown, 100, y=350), (0, 0, 255))
