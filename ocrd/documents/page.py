"""A page, and the limits that keep a hostile file from taking the machine."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image


@dataclass(frozen=True)
class DocumentLimits:
    """What is refused, and how finely PDFs are drawn."""

    max_bytes: int = 2 * 1024**3
    # Of one page, before it is decoded.
    max_pixels: int = 300_000_000
    max_pages: int = 10_000
    dpi: int = 200


@dataclass(frozen=True)
class Page:
    index: int
    # RGB, upright, on white.
    image: Image.Image

    @property
    def width(self) -> int:
        return self.image.width

    @property
    def height(self) -> int:
        return self.image.height
