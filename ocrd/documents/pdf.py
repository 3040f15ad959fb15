"""PDF pages, drawn by pdfium."""

from __future__ import annotations

from pathlib import Path

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from ocrd.documents.page import Limits, Page
from ocrd.errors import DamagedDocument, EncryptedDocument

POINTS_PER_INCH = 72


class PdfPages:
    def __init__(self, path: Path, limits: Limits) -> None:
        self._limits = limits
        try:
            self._pdf = pdfium.PdfDocument(path)
        except pdfium.PdfiumError as error:
            if getattr(error, "err_code", None) == pdfium_c.FPDF_ERR_PASSWORD:
                raise EncryptedDocument(f"{path.name}: it asks for a password; save a copy without one") from error
            raise DamagedDocument(f"{path.name}: it is no whole PDF ({error}); save or export it again") from error
        self._pdf.init_forms()  # what was filled into a form is drawn too

    def count(self) -> int:
        return len(self._pdf)

    def page(self, index: int) -> Page:
        page = self._pdf[index]
        try:
            bitmap = page.render(scale=self._scale(*page.get_size()), rev_byteorder=True)
            return Page(index, bitmap.to_pil().convert("RGB"))
        finally:
            page.close()

    def close(self) -> None:
        self._pdf.close()

    def _scale(self, width: float, height: float) -> float:
        """Pixels a point: the wanted dpi, less for a poster that would pass the pixel limit."""
        wanted = self._limits.dpi / POINTS_PER_INCH
        pixels = width * height * wanted**2
        # A little below the limit: pdfium rounds each side up.
        return (
            wanted if pixels <= self._limits.max_pixels else wanted * (0.98 * self._limits.max_pixels / pixels) ** 0.5
        )
