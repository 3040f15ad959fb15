"""Is there nothing on a page, so that the model, which takes 10 to 60 seconds, need not look at it?

A false "blank" loses text, a false "not blank" costs those seconds: every doubt is decided for
reading. A page is blank when no channel of it has marks, in a window of 8 x 8 cells, that take up
several of its rows or of its columns, where

* a cell is a pixel, or 2 x 2 pixels of a page above 2.5 megapixels: never more, so 6 points at 200
dpi stay readable;
* a mark is a cell (or the mean of 3 x 3 cells, for faint strokes in noise) that stands off its
ground by 4 deviations of the scanner's noise, and by 5 (or 3) levels of 255, in luminance or in
either colour difference of JPEG;
* the ground is what runs straight through along the page's height or width. Light that falls off,
the shadow of the lid along an edge and the streak of a speck on the sensor run through. Letters in
them do not, nor the ends of a rule.

Forgiven beside that: dust, and full stops, up to 2 pixels wide. Read although nothing is there:
pages with noise that could hide thin letters, show-through, punch holes, folds, two shadows
crossing in a corner, streaks on pictures of less than 600 pixels, dust with a halo from strong
JPEG.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageFilter

from ocrd.types import Box

# [rows, columns], how far each cell stands off its ground, in levels of 255.
Relief = NDArray[np.int16]

# Pixels of the largest page with a cell for each: A4 at 150 dpi, where 6-point strokes are one
# pixel wide.
FULL_SIZE = 2_500_000
# Pixels on a side of what is looked at in one go, and its overlap: bounds the memory to 40 MB.
TILE = 2560
SEAM = 16
# Pixels of the shorter side from which lines right across are ground: no letter touches both edges
# of such a page.
SHEET = 600
# Cells on either side that a cell is compared to: a letter is a small part of them, a shadow and a
# streak are not.
GROUND = 64
SIGMAS = 4.0
# Levels; below them lie the ripples of JPEG at quality 30, the coarsest that scanners write.
FAINTEST = 5.0
FAINTEST_MEAN = 3.0
# Levels that a mean of nine cells may need to be a mark. A 1-pixel stroke of 30 gives 10, or 5 in
# double cells.
LOUDEST = 6.5
WINDOW = 8
# Rows or columns of a window, by the cell's size, that 2 pixels of dust do not reach; means spread
# by two more.
EXTENT = {1: 4, 2: 3}
EXTENT_MEAN = {1: 6, 2: 5}


def is_blank(page: Image.Image) -> bool:
    """Whether an upright RGB page of any size has nothing on it that a person could read.

    A blank A4 page at 200 dpi takes 52 ms on one core (an AMD EPYC), and more only in proportion to
    its area; a page with text is left at its first tile.
    """
    cell = 1 if page.width * page.height <= FULL_SIZE else 2
    sheet = min(page.size) >= SHEET
    return not any(_inked(page.reduce(cell, box), cell, sheet=sheet) for box in _tiles(*page.size))


def _tiles(width: int, height: int) -> Iterator[Box]:
    """Boxes of about equal size, of at most TILE x TILE pixels and a seam, that cover the page."""
    across = -(-width // -(-width // TILE))
    down = -(-height // -(-height * across // TILE**2))
    for y in range(0, height, down):
        for x in range(0, width, across):
            yield (
                max(0, x - SEAM),
                max(0, y - SEAM),
                min(width, x + across + SEAM),
                min(height, y + down + SEAM),
            )


def _inked(cells: Image.Image, cell: int, *, sheet: bool) -> bool:
    for channel in cells.convert("YCbCr").split():
        relief = _relief(channel, sheet=sheet)
        if _extends(relief, max(FAINTEST, SIGMAS * _noise(relief)), extent=EXTENT[cell]):
            return True
        means = _sums_of_nine(relief)
        limit = max(9 * FAINTEST_MEAN, SIGMAS * _noise(means))
        if limit > 9 * LOUDEST / cell or _extends(means, limit, extent=EXTENT_MEAN[cell]):
            return True
    return False


def _relief(channel: Image.Image, *, sheet: bool) -> Relief:
    """The channel less its ground.

    Along the columns, then along the rows; all around on a small picture.
    """
    for radius in ((0, GROUND), (GROUND, 0)) if sheet else (GROUND // 2,):
        channel = ImageChops.subtract(
            channel, channel.filter(ImageFilter.BoxBlur(radius)), offset=128
        )
    return np.asarray(channel).astype(np.int16) - np.int16(128)


def _sums_of_nine(relief: Relief) -> Relief:
    if min(relief.shape) < 3:
        return 9 * relief
    rows: Relief = relief[:-2] + relief[1:-1] + relief[2:]
    sums: Relief = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]
    return sums


def _noise(relief: Relief) -> float:
    """The standard deviation that the strongest tenth of a sample speaks for, were it Gaussian.

    Not the median: where JPEG has flattened most blocks, that is 0 and the ripples in the others
    would be marks.
    """
    sample = np.abs(
        relief.ravel()[:: relief.size // 50_000 | 1]
    )  # odd, to fall on all phases of JPEG's blocks
    at = int(0.9 * (sample.size - 1))
    return float(np.partition(sample, at)[at]) / 1.645


def _extends(relief: Relief, limit: float, *, extent: int) -> bool:
    """Whether the marks in some window take up ``extent`` of its rows or of its columns."""
    y, x = np.nonzero(np.abs(relief) > limit)
    if len(y) > 100 + relief.size // 100:
        return True  # far more than noise has: no need to sort a page full of text into windows
    for shift in ((0, 0), (0, 4), (4, 0), (4, 4)):
        row, in_row = np.divmod(y + shift[0], WINDOW)
        column, in_column = np.divmod(x + shift[1], WINDOW)
        window = row * (relief.shape[1] // WINDOW + 2) + column
        for place in (in_row, in_column):
            taken = np.unique(window * WINDOW + place) // WINDOW
            if np.unique(taken, return_counts=True)[1].max(initial=0) >= extent:
                return True
    return False
