"""Any picture as the model sees one: upright, RGB, on white paper."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageOps


def upright(image: Image.Image) -> Image.Image:
    """A copy, turned as its EXIF data says."""
    return ImageOps.exif_transpose(image)


def to_rgb(image: Image.Image, bits: int = 16, *, white_is_zero: bool = False) -> Image.Image:
    """Any mode as 8-bit RGB; what is transparent becomes white paper.

    ``bits`` and ``white_is_zero`` say how greys wider than 8 bits are meant; Pillow sorts out the
    others itself.
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
    """32-bit and float greys.

    No format says what their white is, so the largest value tells the scale.
    """
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
