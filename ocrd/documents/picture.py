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
BITS_PER_SAMPLE, PHOTOMETRIC = 258, 262
"""TIFF tags that Pillow leaves to us for wide greys."""
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
        # Only where frames are pages: a HEIC opens at its primary picture, which need not be its frame 0.
        if self._image.format in _PAGED:
            self._image.seek(index)
        self._check_size()
        upright = ImageOps.exif_transpose(self._image)  # always a copy
        tags = getattr(self._image, "tag_v2", {})
        bits = int(tags.get(BITS_PER_SAMPLE, (16,))[0])
        return Page(index, to_rgb(upright, bits, white_is_zero=tags.get(PHOTOMETRIC) == 0))

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


def to_rgb(image: Image.Image, bits: int = 16, white_is_zero: bool = False) -> Image.Image:
    """Any mode as 8-bit RGB; what is transparent becomes white paper.

    ``bits`` and ``white_is_zero`` say how greys wider than 8 bits are meant; Pillow sorts out the others itself.
    """
    if image.mode.startswith("I;16"):
        grey = _sixteen_bit_grey(image, bits)
        return (ImageOps.invert(grey) if white_is_zero else grey).convert("RGB")
    if image.mode in ("I", "F"):
        return _measured_grey(image).convert("RGB")
    if image.has_transparency_data:
        return _on_white(image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    rgba = image.convert("RGBA")
    paper = Image.new("RGBA", rgba.size, "white")
    return Image.alpha_composite(paper, rgba).convert("RGB")


def _sixteen_bit_grey(image: Image.Image, bits: int) -> Image.Image:
    """The top 8 of ``bits``: Pillow's own conversion cuts everything above 255 to white."""
    return Image.fromarray((np.asarray(image) >> max(bits - 8, 0)).astype(np.uint8))


def _measured_grey(image: Image.Image) -> Image.Image:
    """32-bit and float greys: no format says what their white is, so the largest value tells the scale."""
    values = np.asarray(image).astype(np.float32)
    finite = np.isfinite(values)
    most = float(values[finite].max(initial=0.0))
    values[~finite] = 0.0
    if image.mode == "F" and most <= 1.0:
        white = 1.0
    elif most <= 255:
        white = 255.0
    else:
        white = max(most, 65535.0) if image.mode == "I" else most
    return Image.fromarray(np.clip(np.rint(values * (255.0 / white)), 0, 255).astype(np.uint8))
