"""A page as the views that the model looks at.

One square global view, and tiles of it where the mode has them.

The rules are the published code's: which grid of tiles, when a page is stretched and when it is
padded.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from ocrd.errors import UsageError

TILE = 640
FEWEST_TILES = 2
MOST_TILES = 9
PAD = (127, 127, 127)
PIXELS_PER_FEATURE = 64


@dataclass(frozen=True)
class Mode:
    """A resolution mode: the global view's size, and whether larger pages are also looked at in
    tiles.
    """

    name: str
    view: int
    tiled: bool = False
    # The page is stretched to the square, not padded: published for views of up to 640 pixels.
    stretched: bool = False


MODES = {
    mode.name: mode
    for mode in (
        Mode("tiny", 512, stretched=True),
        Mode("small", 640, stretched=True),
        Mode("base", 1024),
        Mode("large", 1280),
        Mode("gundam", 1024, tiled=True),
    )
}


# The mode of a model that was trained on another size than the published one: its own, and no
# other.
NATIVE = "native"
# ``auto``: pictures of up to so many pixels a side, and no longer than so many times their width,
# lose nothing in ``small``, which stretches them to 640 x 640 and is a quarter of the work.
SMALL_PICTURE = 512
LONGEST_SHAPE = 2.0


def check_mode(name: str) -> None:
    """Raises UsageError for an unknown mode."""
    if name != "auto" and name not in MODES:
        raise UsageError(f"there is no resolution mode {name!r}; allowed: auto, {', '.join(MODES)}")


def choose_mode(name: str, trained_view: int, *, size: tuple[int, int]) -> Mode:
    """The mode called ``name`` for a picture of ``size`` (width, height).

    ``auto``: what a small picture loses nothing in, gundam for the others. A model of another size
    than the published one is only good at the view that it was trained on. Raises UsageError for an
    unknown name.
    """
    check_mode(name)
    if name != "auto":
        return MODES[name]
    if trained_view != MODES["gundam"].view:
        return Mode(NATIVE, trained_view)
    longer = max(size)
    shorter = min(size)
    if longer <= SMALL_PICTURE and longer <= LONGEST_SHAPE * shorter:
        return MODES["small"]
    return MODES["base" if longer <= TILE else "gundam"]


@dataclass(frozen=True)
class Views:
    """What the model looks at for one page."""

    # [1, 3, S, S] float32, -1 to 1.
    global_view: Tensor
    # [columns*rows, 3, 640, 640] row by row, or None.
    tiles: Tensor | None
    # (columns, rows); (1, 1) without tiles.
    grid: tuple[int, int]

    @property
    def image_tokens(self) -> int:
        """Prompt slots that these views take.

        Each grid row ends with a newline, the last token separates.
        """
        side = self.global_view.shape[-1] // PIXELS_PER_FEATURE
        slots = side * (side + 1) + 1
        if self.tiles is not None:
            columns, rows, tile = *self.grid, TILE // PIXELS_PER_FEATURE
            slots += rows * tile * (columns * tile + 1)
        return slots


def prepare(page: Image.Image, mode: Mode) -> Views:
    """Cut an upright RGB page of any size into the views of ``mode``."""
    size = (mode.view, mode.view)
    square = page.resize(size) if mode.stretched else ImageOps.pad(page, size, color=PAD)
    global_view = _normalised(square)[None]
    columns, rows = tile_grid(*page.size) if mode.tiled else (1, 1)
    if columns * rows == 1:
        return Views(global_view, None, (1, 1))
    large = page.resize((columns * TILE, rows * TILE))
    tiles = [
        _normalised(large.crop((x * TILE, y * TILE, (x + 1) * TILE, (y + 1) * TILE)))
        for y in range(rows)
        for x in range(columns)
    ]
    return Views(global_view, torch.stack(tiles), (columns, rows))


def tile_grid(width: int, height: int) -> tuple[int, int]:
    """(columns, rows) for a page of this size; (1, 1) when both sides fit in one tile.

    The grid whose shape is nearest the page's wins. Of equally near ones the larger wins as long as
    the page has more than half the pixels that it holds: the rule of InternVL's dynamic tiling,
    which the published code uses.
    """
    if width <= TILE and height <= TILE:
        return (1, 1)
    grids = sorted(
        (
            (c, r)
            for c in range(1, MOST_TILES + 1)
            for r in range(1, MOST_TILES + 1)
            if FEWEST_TILES <= c * r <= MOST_TILES
        ),
        key=lambda grid: grid[0] * grid[1],
    )
    best = (1, 1)
    nearest = float("inf")
    for columns, rows in grids:
        distance = abs(width / height - columns / rows)
        roomy = width * height > 0.5 * TILE * TILE * columns * rows
        if distance < nearest or (distance == nearest and roomy):
            best = (columns, rows)
            nearest = distance
    return best


def _normalised(square: Image.Image) -> Tensor:
    """[3, S, S], mean and deviation 0.5."""
    pixels = np.array(square, dtype=np.uint8)
    return torch.from_numpy(pixels).permute(2, 0, 1).float().div_(127.5).sub_(1.0)
