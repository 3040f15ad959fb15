"""The pages of a PDF, drawn by pdfium."""

from __future__ import annotations

import errno
import math
import os
from pathlib import Path

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from ocrd.documents.page import DocumentLimits, Page
from ocrd.errors import DamagedDocument, EncryptedDocument

POINTS_PER_INCH = 72


class PdfPageSource:
    """An open PDF."""

    def __init__(self, path: Path, limits: DocumentLimits) -> None:
        """Open the PDF.

        Raises:
            EncryptedDocument, DamagedDocument, OSError: It cannot be opened.
        """
        self._limits = limits
        # Not by pypdfium2's own constructor: for a file without pages it raises pdfium's last
        # error, which may be an earlier file's.
        raw = pdfium_c.FPDF_LoadDocument(os.fsencode(path.resolve()), None)
        if not raw:
            raise _open_error(path, pdfium_c.FPDF_GetLastError())
        self._pdf = pdfium.PdfDocument(raw)
        self._pdf.init_forms()  # the content of form fields is drawn too

    def page_count(self) -> int:
        """The number of pages."""
        return len(self._pdf)

    def page(self, index: int) -> Page:
        """Draw page ``index``."""
        page = self._pdf[index]
        try:
            bitmap = page.render(scale=self._scale(*page.get_size()), rev_byteorder=True)
            try:
                # A copy, so the bitmap can be freed.
                return Page(index, bitmap.to_pil().convert("RGB"))
            finally:
                bitmap.close()
        finally:
            page.close()

    def close(self) -> None:
        """Close the PDF."""
        self._pdf.close()

    def _scale(self, width: float, height: float) -> float:
        """Pixels per point: the configured dpi, or less for a page above the pixel limit."""
        max_pixels = max(self._limits.max_pixels, 1)
        scale = self._limits.dpi / POINTS_PER_INCH
        while True:
            pixels = math.ceil(width * scale) * math.ceil(height * scale)
            if pixels <= max_pixels:
                return scale
            # pdfium rounds each side up, to at least 1, so a thin strip needs several steps.
            scale *= 0.995 * (max_pixels / pixels) ** 0.5


def _open_error(path: Path, code: int) -> Exception:
    """What pdfium's error code means for the user."""
    if code == pdfium_c.FPDF_ERR_FILE:
        # Removed or forbidden meanwhile, so the document itself may be good.
        return FileNotFoundError(errno.ENOENT, "pdfium could not open the file", str(path))
    if code in (pdfium_c.FPDF_ERR_PASSWORD, pdfium_c.FPDF_ERR_SECURITY):
        return EncryptedDocument(f"{path.name}: it needs a password; save a copy without one")
    return DamagedDocument(
        f"{path.name}: it is not a complete PDF (pdfium error {code}); save or export it again"
    )
