"""PDF pages, drawn by pdfium."""

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


class PdfPages:
    def __init__(self, path: Path, limits: DocumentLimits) -> None:
        self._limits = limits
        # Loaded by hand: the binding also looks at pdfium's last error when a file opened without
        # pages, and that error may be an earlier file's.
        raw = pdfium_c.FPDF_LoadDocument(os.fsencode(path.resolve()), None)
        if not raw:
            raise _refusal(path, pdfium_c.FPDF_GetLastError())
        self._pdf = pdfium.PdfDocument(raw)
        self._pdf.init_forms()  # what was filled into a form is drawn too

    def count(self) -> int:
        return len(self._pdf)

    def page(self, index: int) -> Page:
        page = self._pdf[index]
        try:
            bitmap = page.render(scale=self._scale(*page.get_size()), rev_byteorder=True)
            try:
                return Page(
                    index, bitmap.to_pil().convert("RGB")
                )  # a copy, so the bitmap can go at once
            finally:
                bitmap.close()
        finally:
            page.close()

    def close(self) -> None:
        self._pdf.close()

    def _scale(self, width: float, height: float) -> float:
        """Pixels a point: the wanted dpi, less for a poster that would pass the pixel limit."""
        scale = self._limits.dpi / POINTS_PER_INCH
        # pdfium rounds each side up, to at least 1, so a thin strip needs more than one step down.
        while (pixels := math.ceil(width * scale) * math.ceil(height * scale)) > max(
            self._limits.max_pixels, 1
        ):
            scale *= 0.995 * (self._limits.max_pixels / pixels) ** 0.5
        return scale


def _refusal(path: Path, code: int) -> Exception:
    """What pdfium's error code means for the person whose file it is."""
    if (
        code == pdfium_c.FPDF_ERR_FILE
    ):  # gone or forbidden since it was looked at: not the document's fault
        return FileNotFoundError(errno.ENOENT, "pdfium could not open the file", str(path))
    if code in (pdfium_c.FPDF_ERR_PASSWORD, pdfium_c.FPDF_ERR_SECURITY):
        return EncryptedDocument(f"{path.name}: it asks for a password; save a copy without one")
    return DamagedDocument(
        f"{path.name}: it is no whole PDF (pdfium error {code}); save or export it again"
    )
