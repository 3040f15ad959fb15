"""A page, and the limits that protect the machine from hostile files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from PIL import Image


@dataclass(frozen=True)
class DocumentLimits:
    """Which files are refused, and how finely PDFs are drawn.

    Attributes:
        max_bytes: Size of the file.
        max_pixels: Pixels of one page, checked before it is decoded.
        max_pages: Pages of the document.
        dpi: Resolution of PDF pages.
    """

    max_bytes: int = 2 * 1024**3
    max_pixels: int = 300_000_000
    max_pages: int = 10_000
    dpi: int = 200


@dataclass(frozen=True)
class Page:
    """One page: ``image`` is RGB, upright, on white."""

    index: int
    image: Image.Image

    @property
    def width(self) -> int:
        """Pixels."""
        return self.image.width

    @property
    def height(self) -> int:
        """Pixels."""
        return self.image.height


class PageSource(Protocol):
    """The pages of an open file; each kind of file has one."""

    def page_count(self) -> int:
        """The number of pages, without decoding them."""
        ...

    def page(self, index: int) -> Page:
        """Decode page ``index``, counted from 0."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...
