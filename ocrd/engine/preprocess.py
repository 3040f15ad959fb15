"""Cut a page into the views that the model sees: one square global view, and tiles in some modes.

The rules are the published code's: which grid of tiles, when a page is stretched, and when it is
padded.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from ocrd.engine.resolution import TILE_SIDE, Mode

MIN_TILES = 2
MAX_TILES = 9
PADDING_COLOR = (127, 127, 127)
# Pixels on a side of the patch that one image token describes.
PIXELS_PER_TOKEN = 64


@dataclass(frozen=True)
class Views:
    """What the model sees of one page.

    Attributes:
        global_view: [1, 3, S, S] float32, -1 to 1.
        tiles: [columns * rows, 3, 640, 640] float32, row by row; None without tiles.
        grid: Columns and rows of the tiles; (1, 1) without tiles.
    """

    global_view: Tensor
    tiles: Tensor | None
    grid: tuple[int, int]

    @property
    def image_tokens(self) -> int:
        """Tokens that these views take in the prompt, with newlines and the separator."""
        side = self.global_view.shape[-1] // PIXELS_PER_TOKEN
        count = side * (side + 1) + 1
        if self.tiles is not None:
            columns, rows = self.grid
            tile_side = TILE_SIDE // PIXELS_PER_TOKEN
            count += rows * tile_side * (columns * tile_side + 1)
        return count


def prepare(page: Image.Image, mode: Mode) -> Views:
    """Cut an upright RGB page of any size into the views of ``mode``."""
    size = (mode.view, mode.view)
    square = page.resize(size) if mode.stretched else ImageOps.pad(page, size, color=PADDING_COLOR)
    global_view = _normalize(square)[None]
    columns, rows = tile_grid(*page.size) if mode.tiled else (1, 1)
    if columns * rows == 1:
        return Views(global_view, None, (1, 1))
    large = page.resize((columns * TILE_SIDE, rows * TILE_SIDE))
    tiles = [
        _normalize(
            large.crop((x * TILE_SIDE, y * TILE_SIDE, (x + 1) * TILE_SIDE, (y + 1) * TILE_SIDE))
        )
        for y in range(rows)
        for x in range(columns)
    ]
    return Views(global_view, torch.stack(tiles), (columns, rows))


def tile_grid(width: int, height: int) -> tuple[int, int]:
    """Choose the grid of tiles for a page of this size.

    The grid whose shape is nearest to the page's wins. Of equally near grids the larger wins if the
    page has more than half of the pixels that it holds. This is the rule of InternVL's dynamic
    tiling, which the published code uses.

    Returns:
        Columns and rows; (1, 1) when the page fits in one tile.
    """
    if width <= TILE_SIDE and height <= TILE_SIDE:
        return (1, 1)
    grids = sorted(
        (
            (columns, rows)
            for columns in range(1, MAX_TILES + 1)
            for rows in range(1, MAX_TILES + 1)
            if MIN_TILES <= columns * rows <= MAX_TILES
        ),
        key=lambda grid: grid[0] * grid[1],
    )
    best = (1, 1)
    nearest = float("inf")
    for columns, rows in grids:
        distance = abs(width / height - columns / rows)
        fills_half = width * height > 0.5 * TILE_SIDE * TILE_SIDE * columns * rows
        if distance < nearest or (distance == nearest and fills_half):
            best = (columns, rows)
            nearest = distance
    return best


def _normalize(square: Image.Image) -> Tensor:
    """Return [3, S, S] float32 with mean 0.5 and deviation 0.5."""
    pixels = np.array(square, dtype=np.uint8)
    return torch.from_numpy(pixels).permute(2, 0, 1).float().div_(127.5).sub_(1.0)
