"""Detect blank pages, so that the model need not spend 10 to 60 seconds on them.

A page that is wrongly called blank loses its text; a blank page that is read costs only seconds.
Every doubt is therefore decided for reading. A page is blank when no channel of it has marks, in a
window of 8 x 8 cells, that take up several of its rows or of its columns, where

* a cell is a pixel, or 2 x 2 pixels of a page above 2.5 megapixels. It is never more, so 6 points
  at 200 dpi stay readable;
* a mark is a cell (or the mean of 3 x 3 cells, for faint strokes in noise) that differs from its
  background by 4 deviations of the scanner's noise, and by 5 (or 3) levels of 255, in luminance or
  in either colour difference of JPEG;
* the background is everything that runs straight along the whole height or width of the page:
  uneven light, the shadow of the lid along an edge, the streak of a speck on the sensor. Letters on
  such lines do not run through, and neither do the ends of a rule.

Dust and full stops of up to 2 pixels do not count as marks. Some empty pages are still read: pages
with noise that could hide thin letters, show-through, punch holes, folds, two shadows that cross in
a corner, streaks on pictures of less than 600 pixels, and dust with a halo from strong JPEG.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageFilter

from ocrd.types import Box

# [rows, columns]: how far each cell differs from its background, in levels of 255.
Contrast = NDArray[np.int16]

# Pixels of the largest page with a cell for each pixel: A4 at 150 dpi, where 6-point strokes are
# one pixel wide.
MAX_FULL_SIZE_PIXELS = 2_500_000
# Pixels on a side of the part that is examined at a time, and of its overlap with the next. This
# bounds the memory to 40 MB.
PART_SIDE = 2560
PART_OVERLAP = 16
# Pixels of the shorter side from which lines across the whole page are background: no letter
# touches both edges of such a page.
MIN_SHEET_SIDE = 600
# Cells on either side with which a cell is compared. A letter is a small part of them; a shadow
# and a streak are not.
BACKGROUND_RADIUS = 64
# Deviations of the noise from which a cell is a mark.
NOISE_DEVIATIONS = 4.0
# Levels from which a cell is a mark. Below are the ripples of JPEG at quality 30, the coarsest
# that scanners write.
MIN_CONTRAST = 5.0
MIN_MEAN_CONTRAST = 3.0
# With noise for which a mean of nine cells needs more levels than this, the page is read. A 1-pixel
# stroke of 30 levels gives 10, or 5 in double cells.
MAX_MEAN_CONTRAST = 6.5
WINDOW = 8
# Rows or columns of a window, by the cell's size, that 2 pixels of dust do not reach. Means spread
# by two more.
MIN_EXTENT = {1: 4, 2: 3}
MIN_MEAN_EXTENT = {1: 6, 2: 5}


def is_blank(page: Image.Image) -> bool:
    """Return whether an upright RGB page of any size has nothing on it that a person could read.

    A blank A4 page at 200 dpi takes 52 ms on one core (an AMD EPYC); the time grows with the area.
    A page with text takes less, because its first part decides.
    """
    cell = 1 if page.width * page.height <= MAX_FULL_SIZE_PIXELS else 2
    is_sheet = min(page.size) >= MIN_SHEET_SIDE
    return not any(
        _has_marks(page.reduce(cell, part), cell, is_sheet=is_sheet) for part in _parts(*page.size)
    )


def _parts(width: int, height: int) -> Iterator[Box]:
    """Cover the page with overlapping boxes of about equal size, PART_SIDE ** 2 pixels at most."""
    part_width = -(-width // -(-width // PART_SIDE))
    part_height = -(-height // -(-height * part_width // PART_SIDE**2))
    for y in range(0, height, part_height):
        for x in range(0, width, part_width):
            yield (
                max(0, x - PART_OVERLAP),
                max(0, y - PART_OVERLAP),
                min(width, x + part_width + PART_OVERLAP),
                min(height, y + part_height + PART_OVERLAP),
            )


def _has_marks(cells: Image.Image, cell: int, *, is_sheet: bool) -> bool:
    for channel in cells.convert("YCbCr").split():
        contrast = _contrast(channel, is_sheet=is_sheet)
        threshold = max(MIN_CONTRAST, NOISE_DEVIATIONS * _noise(contrast))
        if _has_extended_marks(contrast, threshold, min_extent=MIN_EXTENT[cell]):
            return True
        sums = _sums_of_nine(contrast)
        threshold = max(9 * MIN_MEAN_CONTRAST, NOISE_DEVIATIONS * _noise(sums))
        if threshold > 9 * MAX_MEAN_CONTRAST / cell:
            return True  # noise that could hide writing
        if _has_extended_marks(sums, threshold, min_extent=MIN_MEAN_EXTENT[cell]):
            return True
    return False


def _contrast(channel: Image.Image, *, is_sheet: bool) -> Contrast:
    """Subtract the background: along the columns, then the rows; all around on a small picture."""
    radii = [(BACKGROUND_RADIUS // 2, BACKGROUND_RADIUS // 2)]
    if is_sheet:
        radii = [(0, BACKGROUND_RADIUS), (BACKGROUND_RADIUS, 0)]
    for radius in radii:
        background = channel.filter(ImageFilter.BoxBlur(radius))
        channel = ImageChops.subtract(channel, background, offset=128)
    return np.asarray(channel).astype(np.int16) - np.int16(128)


def _sums_of_nine(contrast: Contrast) -> Contrast:
    """Return the sums of 3 x 3 cells."""
    if min(contrast.shape) < 3:
        return 9 * contrast
    rows: Contrast = contrast[:-2] + contrast[1:-1] + contrast[2:]
    sums: Contrast = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]
    return sums


def _noise(contrast: Contrast) -> float:
    """Estimate the noise's standard deviation from the strongest tenth of a sample, as if Gaussian.

    Not from the median: where JPEG has flattened most blocks, that is 0 and the ripples in the
    others would be marks.
    """
    step = contrast.size // 50_000 | 1  # odd, to sample all phases of JPEG's blocks
    sample = np.abs(contrast.ravel()[::step])
    index = int(0.9 * (sample.size - 1))
    return float(np.partition(sample, index)[index]) / 1.645


def _has_extended_marks(contrast: Contrast, threshold: float, *, min_extent: int) -> bool:
    """Return whether marks in some window take up ``min_extent`` of its rows or of its columns."""
    y, x = np.nonzero(np.abs(contrast) > threshold)
    if len(y) > 100 + contrast.size // 100:
        return True  # far more than noise has: no need to sort a page full of text into windows
    for shift in ((0, 0), (0, 4), (4, 0), (4, 4)):
        row, y_in_window = np.divmod(y + shift[0], WINDOW)
        column, x_in_window = np.divmod(x + shift[1], WINDOW)
        window = row * (contrast.shape[1] // WINDOW + 2) + column
        for offset in (y_in_window, x_in_window):
            # The window of each row (or column) that has a mark.
            occupied = np.unique(window * WINDOW + offset) // WINDOW
            extents = np.unique(occupied, return_counts=True)[1]
            if extents.max(initial=0) >= min_extent:
                return True
    return False
