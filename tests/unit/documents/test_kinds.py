"""The content decides what a file is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ocrd.documents.document import open_document
from ocrd.documents.kinds import detect_kind
from ocrd.errors import (
    UnsupportedDocument,
)
from tests.unit.documents.files import (
    refused,
    two_coloured,
)


def test_other_bytes_before_the_pdf_mark_are_accepted() -> None:
    assert detect_kind(b"From: scanner\n%PDF-1.4") == "pdf"
    assert detect_kind(b"plain text") is None


def test_the_daemon_learns_the_suffixes_without_an_imaging_library() -> None:
    code = (
        "import sys, ocrd.documents.kinds; print({'PIL', 'pypdfium2', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_text_that_begins_like_a_bitmap_is_unsupported(tmp_path: Path) -> None:
    (tmp_path / "a.bmp").write_text("BMW: the driver's manual. " * 40)
    refused(tmp_path / "a.bmp", UnsupportedDocument)


def test_text_with_a_pictures_suffix_is_unsupported(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("these are words")
    refused(tmp_path / "a.png", UnsupportedDocument)


def test_the_content_decides_and_not_the_suffix(tmp_path: Path) -> None:
    two_coloured().save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.pdf")
    with open_document(tmp_path / "a.pdf") as document:
        assert document.kind == "png"
