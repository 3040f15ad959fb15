"""Pictures through Pillow, frame by frame."""

from __future__ import annotations

from pathlib import Path

import pillow_heif
from PIL import Image

from ocrd.documents.page import DocumentLimits, Page
from ocrd.errors import OversizedDocument
from ocrd.rgb import to_rgb, upright

pillow_heif.register_heif_opener()
# Sizes are checked here, page by page, against the configured limit; Pillow's own guard is global.
Image.MAX_IMAGE_PIXELS = None

# Nothing else is tried: some of Pillow's other plugins start external programs.
FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP", "JPEG2000", "HEIF", "AVIF")
# TIFF tags that Pillow leaves to us for wide greys.
BITS_PER_SAMPLE = 258
PHOTOMETRIC = 262
# Formats whose frames are pages; an animation's frames, or a phone's depth map (MPO), are not.
_PAGED = frozenset({"TIFF"})


class PicturePages:
    def __init__(self, path: Path, limits: DocumentLimits) -> None:
        self._name = path.name
        self._limits = limits
        self._image = Image.open(path, formats=FORMATS)
        try:
            self._check_size()
        except OversizedDocument:
            self._image.close()
            raise

    def count(self) -> int:
        return int(getattr(self._image, "n_frames", 1)) if self._image.format in _PAGED else 1

    def page(self, index: int) -> Page:
        # Only where frames are pages: a HEIC opens at its primary picture, which need not be its
        # frame 0.
        if self._image.format in _PAGED:
            self._image.seek(index)
        self._check_size()
        turned = upright(self._image)
        tags = getattr(self._image, "tag_v2", {})
        bits = int(tags.get(BITS_PER_SAMPLE, (16,))[0])
        return Page(index, to_rgb(turned, bits, white_is_zero=tags.get(PHOTOMETRIC) == 0))

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
