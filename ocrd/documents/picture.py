"""The pages of a picture file, decoded by Pillow."""

from __future__ import annotations

from pathlib import Path

import pillow_heif
from PIL import Image

from ocrd.documents.page import DocumentLimits, Page
from ocrd.errors import OversizedDocument
from ocrd.rgb import to_rgb, upright

pillow_heif.register_heif_opener()
# The size of each page is checked here, against the configured limit. Pillow's limit is global.
Image.MAX_IMAGE_PIXELS = None

# Only these decoders are used: some of Pillow's other plugins start external programs.
FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP", "JPEG2000", "HEIF", "AVIF")

# TIFF tags that say how grey values with more than 8 bits are meant.
BITS_PER_SAMPLE_TAG = 258
PHOTOMETRIC_TAG = 262
WHITE_IS_ZERO = 0

# Formats whose frames are pages. The frames of an animation, or a phone's depth map (MPO), are not.
_MULTI_PAGE_FORMATS = frozenset({"TIFF"})


class PicturePageSource:
    """An open picture."""

    def __init__(self, path: Path, limits: DocumentLimits) -> None:
        """Read the picture's header.

        Raises:
            OversizedDocument: It has more pixels than allowed.
        """
        self._name = path.name
        self._limits = limits
        self._image = Image.open(path, formats=FORMATS)
        self._is_multi_page = self._image.format in _MULTI_PAGE_FORMATS
        try:
            self._check_size()
        except OversizedDocument:
            self._image.close()
            raise

    def page_count(self) -> int:
        """The number of pages: the frames of a TIFF, 1 for everything else."""
        return int(getattr(self._image, "n_frames", 1)) if self._is_multi_page else 1

    def page(self, index: int) -> Page:
        """Decode page ``index``."""
        # A HEIC opens at its primary picture, which need not be its frame 0.
        if self._is_multi_page:
            self._image.seek(index)
        self._check_size()
        turned = upright(self._image)
        tags = getattr(self._image, "tag_v2", {})
        bits = int(tags.get(BITS_PER_SAMPLE_TAG, (16,))[0])
        white_is_zero = tags.get(PHOTOMETRIC_TAG) == WHITE_IS_ZERO
        return Page(index, to_rgb(turned, bits, white_is_zero=white_is_zero))

    def close(self) -> None:
        """Close the file."""
        self._image.close()

    def _check_size(self) -> None:
        width, height = self._image.size
        if width * height > self._limits.max_pixels:
            megapixels = self._limits.max_pixels // 1_000_000
            raise OversizedDocument(
                f"{self._name}: {width} x {height} pixels are more than the {megapixels} "
                "megapixels allowed; scale it down or raise documents.max_megapixels"
            )
