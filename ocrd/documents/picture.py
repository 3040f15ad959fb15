"""Pictures through Pillow: each frame upright, RGB, on white."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pillow_heif
from PIL import Image, ImageOps

from ocrd.documents.page import Limits, Page
from ocrd.errors import OversizedDocument

pillow_heif.register_heif_opener()
# Sizes are checked here, page by page, against the configured limit; Pillow's own guard is global.
Image.MAX_IMAGE_PIXELS = None

FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP", "JPEG2000", "HEIF", "AVIF")
"""Nothing else is tried: some of Pillow's other plugins start external programs."""
_PAGED = frozenset({"TIFF"})
"""Formats whose frames are pages; an animation's frames, or a phone's depth map (MPO), are not."""


class PicturePages:
    def __init__(self, path: Path, limits: Limits) -> None:
        self._name, self._limits = path.name, limits
        self._image = Image.open(path, formats=FORMATS)
        try:
            self._check_size()
        except OversizedDocument:
            self._image.close()
            raise

    def count(self) -> int:
        return int(getattr(self._image, "n_frames", 1)) if self._image.format in _PAGED else 1

    def page(self, index: int) -> Page:
        self._image.seek(index)
        self._check_size()
        # A copy: frames share one buffer, and exif_transpose would otherwise touch the open image.
        upright = ImageOps.exif_transpose(self._image.copy())
        return Page(index, to_rgb(upright))

    def close(self) -> None:
        self._image.close()

    def _check_size(self) -> None:
        width, height = self._image.size
        if width * height > self._limits.max_pixels:
            most = self._limits.max_pixels // 1_000_000
            raise OversizedDocument(
                f"{self._name}: {width} x {height} pixels are more than the {most} megapixels allowed;"
                " scale it down or raise the limit"
            )


def to_rgb(image: Image.Image) -> Image.Image:
    """Any mode as 8-bit RGB; what is transparent becomes white paper."""
    if image.mode.startswith("I") or image.mode == "F":
        return _wide_grey(image).convert("RGB")
    if image.has_transparency_data:
        return _on_white(image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    rgba = image.convert("RGBA")
    paper = Image.new("RGBA", rgba.size, "white")
    return Image.alpha_composite(paper, rgba).convert("RGB")


def _wide_grey(image: Image.Image) -> Image.Image:
    """16-bit and float greys scaled to 8 bits: Pillow's own conversion cuts everything above 255 to white."""
    values = np.asarray(image).astype(np.float32)
    if image.mode.startswith("I;16") or (image.mode == "I" and values.max(initial=0) > 255):
        values = values / 257.0
    elif image.mode == "F" and values.max(initial=0) <= 1.0:
        values = values * 255.0
    elif image.mode == "F" and values.max(initial=0) > 255:
        values = values * (255.0 / values.max())
    return Image.fromarray(np.clip(np.rint(np.nan_to_num(values)), 0, 255).astype(np.uint8))
