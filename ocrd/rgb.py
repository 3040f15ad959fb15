"""Convert any picture into the form that the model sees: upright, RGB, on white paper."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageOps


def upright(image: Image.Image) -> Image.Image:
    """Return a copy that is turned as its EXIF data says."""
    return ImageOps.exif_transpose(image)


def to_rgb(image: Image.Image, bits: int = 16, *, white_is_zero: bool = False) -> Image.Image:
    """Convert an image of any mode to 8-bit RGB. Transparent parts become white paper.

    Args:
        image: The image; returned itself if it is RGB already.
        bits: How many bits of a 16-bit grey are used.
        white_is_zero: Whether a 16-bit grey of 0 is white. Pillow handles the other modes itself.
    """
    if image.mode.startswith("I;16"):
        grey = _convert_16_bit_grey(image, bits)
        return (ImageOps.invert(grey) if white_is_zero else grey).convert("RGB")
    if image.mode in ("I", "F"):
        return _convert_wide_grey(image).convert("RGB")
    if image.has_transparency_data:
        return _on_white(image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    rgba = image.convert("RGBA")
    paper = Image.new("RGBA", rgba.size, "white")
    return Image.alpha_composite(paper, rgba).convert("RGB")


def _convert_16_bit_grey(image: Image.Image, bits: int) -> Image.Image:
    """Keep the top 8 of ``bits``. Pillow's own conversion makes everything above 255 white."""
    return Image.fromarray((np.asarray(image) >> max(bits - 8, 0)).astype(np.uint8))


def _convert_wide_grey(image: Image.Image) -> Image.Image:
    """Convert 32-bit and float greys.

    No format says which value is white, so the largest value decides on the scale.
    """
    values = np.asarray(image).astype(np.float32)
    finite = np.isfinite(values)
    largest = float(values[finite].max(initial=0.0))
    values[~finite] = 0.0
    if image.mode == "F" and largest <= 1.0:
        white = 1.0
    elif largest <= 255:
        white = 255.0
    else:
        white = max(largest, 65535.0) if image.mode == "I" else largest
    return Image.fromarray(np.clip(np.rint(values * (255.0 / white)), 0, 255).astype(np.uint8))
