"""Measure how many blank pages the blank-page rule finds, and whether it ever loses writing.

    python -m tools.measure_blank [--blank 400] [--inked 1200] [--seed N] [--keep DIR]

It draws scans. Blank ones have paper of any tint, uneven light, dust, streaks, shadows at the edge,
noise and JPEG. Inked ones have the same, and one to four characters or one short word of 6 to 12
points whose contrast to the paper is 30 levels or more. Half of each kind are clean scans, which
have only a little noise and uneven light, no dust and no streaks.
"""

from __future__ import annotations

import argparse
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ocrd.engine.blank_page import is_blank
from tools.render_text import TRAINED_FONTS, UNSEEN_FONTS, font_path

# [H, W, 3], 0 to 255.
Pixels = NDArray[np.float32]

# Width and height of A4, A5 and A6.
PAPER_INCHES = ((8.27, 11.69), (5.83, 8.27), (4.13, 5.83))
DPI = (150, 200, 300)
# Of blank pages only.
LOW_DPI = 100
LUMINANCE = np.array((0.299, 0.587, 0.114))
# Levels between ink and paper, in the channel where they differ most.
MIN_CONTRAST = 30
# An inked scan counts if so much of its contrast survived JPEG; otherwise nobody can read it.
MIN_SURVIVING_CONTRAST = 0.5
WORDS = (
    "no",
    "see",
    "Page",
    "ok",
    "paid",
    "draft",
    "over",
    "void",
    "p.",
    "copy",
    "Anna",
    "12/3",
    "17",
    "iv",
    "- 3 -",
)
CHARACTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789?!&%$@#"


@dataclass(frozen=True)
class InkedCounts:
    """What the rule did with inked scans."""

    # Legible scans that were called blank.
    lost: int
    # Scans whose writing survived JPEG.
    legible: int
    # Legible scans that would be blank without the writing. Only these test the rule: dust or noise
    # keeps the others from being called blank anyway.
    decisive: int


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--blank", type=int, default=400, help="blank scans")
    parser.add_argument("--inked", type=int, default=1200, help="inked scans")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="a folder for the inked scans that were lost")
    options = parser.parse_args()
    for name, clean in (("clean", True), ("soiled", False)):
        found = measure_found(options.blank // 2, options.seed, clean=clean)
        inked = measure_lost(options.inked // 2, options.seed, clean=clean, keep=options.keep)
        print(
            f"{name} scans: {found} of {options.blank // 2} blank pages found; "
            f"{inked.lost} of {inked.legible} inked ones lost, "
            f"{inked.decisive} of which would be blank without the writing",
            flush=True,
        )


def measure_found(count: int, seed: int, *, clean: bool) -> int:
    """Count the blank pages, of ``count``, that are found."""
    found = 0
    for number in range(count):
        rng = np.random.default_rng((seed, clean, 0, number))
        sheet = draw_paper(rng, int(rng.choice((LOW_DPI, *DPI))), clean=clean)
        (picture,) = scan(rng, [sheet], clean=clean)
        found += is_blank(picture)
    return found


def measure_lost(count: int, seed: int, *, clean: bool, keep: Path | None) -> InkedCounts:
    """Count the inked scans, of ``count``, that are called blank; save these in ``keep``."""
    lost = 0
    legible = 0
    decisive = 0
    for number in range(count):
        rng = np.random.default_rng((seed, clean, 1, number))
        dpi = int(rng.choice(DPI))
        bare_sheet = draw_paper(rng, dpi, clean=clean)
        inked_sheet = draw_ink(rng, bare_sheet, dpi=dpi)
        inked, bare = scan(rng, [inked_sheet, bare_sheet], clean=clean)
        if surviving_contrast(inked, bare, drawn=inked_sheet - bare_sheet) < MIN_SURVIVING_CONTRAST:
            continue
        legible += 1
        decisive += is_blank(bare)
        if is_blank(inked):
            lost += 1
            if keep:
                inked.save(keep / f"{'clean' if clean else 'soiled'}-{number}.png")
    return InkedCounts(lost, legible, decisive)


def draw_paper(rng: np.random.Generator, dpi: int, *, clean: bool) -> Pixels:
    """A sheet without ink under the scanner's light, before noise."""
    if dpi <= LOW_DPI or rng.random() < 0.25:
        width, height = (int(side) for side in rng.integers(200, 601, 2))
    else:
        inches = PAPER_INCHES[rng.choice(3, p=(0.2, 0.3, 0.5))]
        width, height = (round(side * dpi) for side in inches)
    base = rng.uniform(10, 90) if rng.random() < 0.15 else rng.uniform(190, 255)
    tint = base + (rng.uniform(-25, 25, 3) if rng.random() < 0.5 else np.zeros(3))
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    max_falloff = 0.1 if clean else 0.25
    # To one side, and to the edges.
    light = 1 - rng.uniform(0, max_falloff) * (x * np.cos(angle) + y * np.sin(angle) + 1.5) / 3
    light -= rng.choice((0, rng.uniform(0, max_falloff))) * (x**2 + y**2) / 2
    sheet: Pixels = (np.clip(tint, 0, 255) * light[..., None]).astype(np.float32)
    if not clean:
        _soil(rng, sheet)
    return sheet


def _soil(rng: np.random.Generator, sheet: Pixels) -> None:
    """Add dust, streaks of the sensor and a shadow of the lid, in place."""
    height, width, _ = sheet.shape
    for _ in range(rng.integers(0, 7)):
        size_y, size_x = rng.integers(1, 4, 2)
        y = rng.integers(0, height - 3)
        x = rng.integers(0, width - 3)
        sheet[y : y + size_y, x : x + size_x] -= rng.uniform(20, 120)
    for _ in range(rng.choice((0, 0, 1, 2))):
        x = rng.integers(0, width - 2)
        sheet[:, x : x + rng.integers(1, 3)] -= rng.uniform(3, 40)
    max_depth = max(2, round(0.02 * min(width, height)))
    for side in rng.permutation(4)[: rng.choice((0, 0, 1, 2))]:
        depth = int(rng.integers(1, max_depth))
        falloff = np.linspace(1, 0, depth, endpoint=False) ** rng.uniform(0.2, 2)
        turned = np.rot90(sheet, side)  # a view, so the shadow is added to the sheet itself
        turned[:depth] *= 1 - rng.uniform(0.1, 0.95) * falloff[:, None, None]


def draw_ink(rng: np.random.Generator, sheet: Pixels, *, dpi: int) -> Pixels:
    """The sheet with one small piece of writing on it."""
    height, width, _ = sheet.shape
    name = rng.choice(TRAINED_FONTS + UNSEEN_FONTS)
    font = ImageFont.truetype(font_path(str(name)), round(rng.uniform(6, 12) * max(150, dpi) / 72))
    if rng.random() < 0.7:
        text = "".join(rng.choice(list(CHARACTERS), rng.integers(1, 5)))
    else:
        text = str(rng.choice(WORDS))
    left, top, right, bottom = (round(edge) for edge in font.getbbox(text))
    x = int(rng.integers(1, max(2, width - right + left - 1)))
    y = int(rng.integers(1, max(2, height - bottom + top - 1)))
    stencil = Image.new("L", (width, height))
    ImageDraw.Draw(stencil).text((x - left, y - top), text, fill=255, font=font)
    coverage = np.asarray(stencil, np.float32)[..., None] / 255
    box = np.s_[y : y + bottom - top, x : x + right - left]
    change = _random_ink(rng, sheet[box].mean((0, 1)))
    inked: Pixels = np.clip(sheet + coverage * change, 0, 255)
    return inked


def _random_ink(rng: np.random.Generator, paper: Pixels) -> Pixels:
    """What the ink changes in each channel of paper of this colour, [3].

    Drawn again where a channel would leave 0 to 255: clipped ink of 30 levels on white kept only 7,
    which nobody can read.
    """
    while True:
        highest = 2 * MIN_CONTRAST if rng.random() < 0.5 else 200
        levels = rng.uniform(MIN_CONTRAST, highest)
        change = np.full(3, 1.0)
        kind = rng.random()
        if kind < 0.25:  # another colour of the same luminance
            change = rng.normal(size=3)
            change -= (LUMINANCE @ change) / (LUMINANCE @ LUMINANCE) * LUMINANCE
        elif kind < 0.4:  # coloured
            change = rng.uniform(0, 1, 3)
        change *= (-1 if paper.mean() > 127 else 1) * levels / np.abs(change).max()
        if (paper + change).min() >= 0 and (paper + change).max() <= 255:
            return change.astype(np.float32)


def scan(rng: np.random.Generator, sheets: list[Pixels], *, clean: bool) -> list[Image.Image]:
    """The sheets as pictures, all with the same noise and JPEG settings."""
    sigma = rng.choice((0, rng.uniform(0, 2.5 if clean else 6)))
    channels = rng.choice((1, 3))
    noise = sigma * rng.standard_normal((*sheets[0].shape[:2], channels), dtype=np.float32)
    pictures = [
        Image.fromarray(np.clip(sheet + noise, 0, 255).round().astype(np.uint8)) for sheet in sheets
    ]
    if rng.random() < 0.3:
        return pictures
    quality = int(rng.integers(75 if clean else 30, 96))
    subsampling = int(rng.choice((0, 2)))
    return [_jpeg(picture, quality, subsampling=subsampling) for picture in pictures]


def _jpeg(picture: Image.Image, quality: int, *, subsampling: int) -> Image.Image:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality, subsampling=subsampling)
    return Image.open(file).convert("RGB")


def surviving_contrast(inked: Image.Image, bare: Image.Image, *, drawn: Pixels) -> float:
    """The share of the drawn contrast that is still in the scan.

    Args:
        inked: The scan with writing.
        bare: The scan without it.
        drawn: What the writing changed before the scan.
    """
    points = np.argwhere(drawn.any(2))
    if not len(points):
        return 0.0
    top, left, *_ = points.min(0)
    bottom, right, *_ = points.max(0)
    box = np.s_[top : bottom + 1, left : right + 1]
    remaining = np.asarray(inked, np.float32)[box] - np.asarray(bare, np.float32)[box]
    return float((remaining * drawn[box]).sum() / (drawn[box] ** 2).sum())


if __name__ == "__main__":
    main()
