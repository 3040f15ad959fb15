"""How many blank pages the blank rule finds, and whether it ever loses a letter, on drawn scans.

    python -m tools.measure_blank [--blank 400] [--inked 1200] [--seed N] [--keep DIR]

Blank scans have paper of any tint, light that falls off, dust, streaks, shadows at the edge, noise
and JPEG. Inked ones have the same, and one to four characters or one short word of 6 to 12 points,
30 levels off the paper or more. Half of each kind carry only what a clean scanner leaves: a little
noise and light, no dust or streaks.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ocrd.engine.blank_page import is_blank
from tools.render_text import TRAINED_FONTS, UNSEEN_FONTS, font_path

# [H, W, 3], 0 to 255.
Pixels = NDArray[np.float32]

# A4, A5, A6.
PAPER_INCHES = ((8.27, 11.69), (5.83, 8.27), (4.13, 5.83))
DPI = (150, 200, 300)
LUMINANCE = np.array((0.299, 0.587, 0.114))
# Levels between ink and paper, in the channel where they differ most.
FAINTEST = 30
# An inked scan counts when the JPEG left this share of its contrast: what it wiped out, nobody can
# read.
SURVIVED = 0.5
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


def paper(rng: np.random.Generator, dpi: int, *, clean: bool) -> Pixels:
    """A sheet without ink under the scanner's light, before noise."""
    if dpi <= 100 or rng.random() < 0.25:
        width, height = (int(side) for side in rng.integers(200, 601, 2))
    else:
        inches = PAPER_INCHES[rng.choice(3, p=(0.2, 0.3, 0.5))]
        width, height = (round(side * dpi) for side in inches)
    base = rng.uniform(10, 90) if rng.random() < 0.15 else rng.uniform(190, 255)
    tint = base + (rng.uniform(-25, 25, 3) if rng.random() < 0.5 else np.zeros(3))
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    light = (
        1
        - rng.uniform(0, 0.1 if clean else 0.25) * (x * np.cos(angle) + y * np.sin(angle) + 1.5) / 3
    )
    light -= rng.choice((0, rng.uniform(0, 0.1 if clean else 0.25))) * (x**2 + y**2) / 2
    sheet: Pixels = (np.clip(tint, 0, 255) * light[..., None]).astype(np.float32)
    if not clean:
        _soil(rng, sheet)
    return sheet


def _soil(rng: np.random.Generator, sheet: Pixels) -> None:
    """Dust, streaks of the sensor and a shadow of the lid, in place."""
    height, width, _ = sheet.shape
    for _ in range(rng.integers(0, 7)):
        size_y, size_x = rng.integers(1, 4, 2)
        y = rng.integers(0, height - 3)
        x = rng.integers(0, width - 3)
        sheet[y : y + size_y, x : x + size_x] -= rng.uniform(20, 120)
    for _ in range(rng.choice((0, 0, 1, 2))):
        x = rng.integers(0, width - 2)
        sheet[:, x : x + rng.integers(1, 3)] -= rng.uniform(3, 40)
    deepest = max(2, round(0.02 * min(width, height)))
    for side in rng.permutation(4)[: rng.choice((0, 0, 1, 2))]:
        depth = int(rng.integers(1, deepest))
        fall = np.linspace(1, 0, depth, endpoint=False) ** rng.uniform(0.2, 2)
        turned = np.rot90(sheet, side)  # a view: the shadow lands in the sheet itself
        turned[:depth] *= 1 - rng.uniform(0.1, 0.95) * fall[:, None, None]


def ink(rng: np.random.Generator, sheet: Pixels, *, dpi: int) -> Pixels:
    """The sheet with one small piece of writing on it."""
    height, width, _ = sheet.shape
    name = rng.choice(TRAINED_FONTS + UNSEEN_FONTS)
    font = ImageFont.truetype(font_path(str(name)), round(rng.uniform(6, 12) * max(150, dpi) / 72))
    text = (
        "".join(rng.choice(list(CHARACTERS), rng.integers(1, 5)))
        if rng.random() < 0.7
        else str(rng.choice(WORDS))
    )
    left, top, right, bottom = (round(edge) for edge in font.getbbox(text))
    x, y = (
        int(rng.integers(1, max(2, room)))
        for room in (width - right + left - 1, height - bottom + top - 1)
    )
    stencil = Image.new("L", (width, height))
    ImageDraw.Draw(stencil).text((x - left, y - top), text, fill=255, font=font)
    there = np.asarray(stencil, np.float32)[..., None] / 255
    box = np.s_[y : y + bottom - top, x : x + right - left]
    inked: Pixels = np.clip(sheet + there * _contrast(rng, sheet[box].mean((0, 1))), 0, 255)
    return inked


def _contrast(rng: np.random.Generator, ground: Pixels) -> Pixels:
    """What the ink adds to each channel of paper of this colour, [3].

    Drawn again where a channel would leave 0 to 255: clipped, ink of 30 levels on white kept 7,
    which nobody can read.
    """
    while True:
        levels = (
            rng.uniform(FAINTEST, 2 * FAINTEST)
            if rng.random() < 0.5
            else rng.uniform(FAINTEST, 200)
        )
        change = np.full(3, 1.0)
        kind = rng.random()
        if kind < 0.25:  # another colour, no lighter and no darker
            change = rng.normal(size=3)
            change -= (LUMINANCE @ change) / (LUMINANCE @ LUMINANCE) * LUMINANCE
        elif kind < 0.4:  # coloured
            change = rng.uniform(0, 1, 3)
        change *= (-1 if ground.mean() > 127 else 1) * levels / np.abs(change).max()
        if (ground + change).min() >= 0 and (ground + change).max() <= 255:
            return change.astype(np.float32)


def scanned(rng: np.random.Generator, sheets: list[Pixels], *, clean: bool) -> list[Image.Image]:
    """The sheets as pictures, all with the very same noise and JPEG."""
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


def survival(inked: Image.Image, bare: Image.Image, *, drawn: Pixels) -> float:
    """The share of the drawn contrast that is still in the scan."""
    box = np.argwhere(drawn.any(2))
    if not len(box):
        return 0.0
    cut = np.s_[box[:, 0].min() : box[:, 0].max() + 1, box[:, 1].min() : box[:, 1].max() + 1]
    left = np.asarray(inked, np.float32)[cut] - np.asarray(bare, np.float32)[cut]
    return float((left * drawn[cut]).sum() / (drawn[cut] ** 2).sum())


def measure_found(count: int, seed: int, *, clean: bool) -> int:
    """How many of ``count`` blank pages are found."""
    found = 0
    for number in range(count):
        rng = np.random.default_rng((seed, clean, 0, number))
        found += is_blank(
            *scanned(rng, [paper(rng, int(rng.choice((100, *DPI))), clean=clean)], clean=clean)
        )
    return found


def measure_lost(count: int, seed: int, *, clean: bool, keep: Path | None) -> tuple[int, int, int]:
    """Pages with writing: (called blank, legible in the scan, and those of them that are blank
    but for it).

    Only the last kind tests the rule: on the others dust or noise had the page read anyway.
    """
    lost = legible = decided = 0
    for number in range(count):
        rng = np.random.default_rng((seed, clean, 1, number))
        dpi = int(rng.choice(DPI))
        bare_sheet = paper(rng, dpi, clean=clean)
        inked_sheet = ink(rng, bare_sheet, dpi=dpi)
        inked, bare = scanned(rng, [inked_sheet, bare_sheet], clean=clean)
        if survival(inked, bare, drawn=inked_sheet - bare_sheet) < SURVIVED:
            continue
        legible += 1
        decided += is_blank(bare)
        if is_blank(inked):
            lost += 1
            if keep:
                inked.save(keep / f"{'clean' if clean else 'soiled'}-{number}.png")
    return lost, legible, decided


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--blank", type=int, default=400)
    options.add_argument("--inked", type=int, default=1200)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument(
        "--keep", type=Path, help="a folder for the pages that were called blank and are not"
    )
    given = options.parse_args()
    for name, clean in (("clean", True), ("soiled", False)):
        found = measure_found(given.blank // 2, given.seed, clean=clean)
        lost, legible, decided = measure_lost(
            given.inked // 2, given.seed, clean=clean, keep=given.keep
        )
        print(f"{name} scans: {found} of {given.blank // 2} blank pages found;", end=" ")
        print(
            f"{lost} of {legible} written ones lost, {decided} of which are blank but for the writing",
            flush=True,
        )


if __name__ == "__main__":
    main()
