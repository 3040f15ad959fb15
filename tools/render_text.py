"""Short printed text as pictures, with where each character lies.

What the pocket model learns and is judged on.

Fonts come from packages on the index (see the `dev` extra in pyproject.toml), so that anyone can
draw the same pictures again from a seed.
"""

from __future__ import annotations

import random
import re
import string
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from ocrd.types import Box

# Pixels on a side of the pocket model's view.
VIEW = 256
# Font sizes in pixels of the 256-pixel view, smallest and largest.
TYPE_SIZES = (24, 40)
PAD = (127, 127, 127)

TRAINED_FONTS = (
    "rinoh_typeface_dejavusans/DejaVuSans.ttf",
    "rinoh_typeface_dejavusans/DejaVuSans-Bold.ttf",
    "font_roboto/files/Roboto-Regular.ttf",
    "font_source_serif_pro/files/SourceSerifPro-Regular.ttf",
    "font_lato/files/Lato-Regular.ttf",
    "font_caladea/files/Caladea-Regular.ttf",
)
UNSEEN_FONTS = (
    "font_manrope/files/Manrope-Regular.ttf",
    "font_rhd/files/RedHatDisplay-Regular.ttf",
    "font_source_sans_pro/files/SourceSansPro-Regular.ttf",
    "font_hanken_grotesk/files/HankenGrotesk-Regular.otf",
)

PUNCTUATION = ".,:;!?'\"()-/&%$@#+=*_[]"
CHARACTERS = " \n" + string.ascii_letters + string.digits + PUNCTUATION
MOST_LINES = 3
MOST_CHARACTERS = 12


@dataclass(frozen=True)
class Glyph:
    """One drawn character and its centre, in pixels of the view."""

    character: str
    x: float
    y: float


@dataclass(frozen=True)
class Drawing:
    # As a user would drop it; its longer side fills the view.
    picture: Image.Image
    text: str
    glyphs: tuple[Glyph, ...]
    # The ink of each line of ``text``, in pixels of the picture.
    boxes: tuple[Box, ...]


def font_path(name: str) -> Path:
    """The file of a font named ``package/path`` in an installed package."""
    package, _, inside = name.partition("/")
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"the font package {package} is not installed; run: make setup")
    return Path(spec.submodule_search_locations[0]) / inside


@cache
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(font_path(name), size)


@cache
def _words() -> tuple[str, ...]:
    """Everyday English words, from the documentation that ships inside Python itself."""
    from pydoc_data.topics import topics

    return tuple(
        sorted({w for text in topics.values() for w in re.findall(r"[A-Za-z]{2,12}", text)})
    )


def _random_piece(rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.35:
        word = rng.choice(_words())
        return rng.choice((word.lower(), word.lower(), word.capitalize(), word.upper()))
    if kind < 0.47:
        return "".join(rng.choice(string.digits) for _ in range(rng.randint(1, 6)))
    if kind < 0.55:
        return f"{rng.randint(0, 999)}{rng.choice('.,:/-')}{rng.randint(0, 99):02d}"
    letters = string.ascii_letters + string.digits
    return "".join(
        rng.choice(letters if rng.random() < 0.8 else PUNCTUATION) for _ in range(rng.randint(1, 8))
    )


def random_line(rng: random.Random, longest: int = MOST_CHARACTERS) -> str:
    """A line of 1 to ``longest`` characters: words, numbers, and letters in no order at all."""
    target = rng.randint(1, longest)
    line = _random_piece(rng)
    while len(line) < target:
        if rng.random() < 0.2:
            line += rng.choice(PUNCTUATION)
        line += " " + _random_piece(rng)
    return line[:target].strip() or "a"


def draw(
    rng: random.Random,
    fonts: tuple[str, ...] = TRAINED_FONTS,
    *,
    lines: tuple[int, int] = (1, MOST_LINES),
    longest: int = MOST_CHARACTERS,
) -> Drawing:
    """One picture of ``lines`` lines, fonts and sizes and places at random, everything inside
    the picture.
    """
    scale = rng.choice((1.0, 1.0, 1.0, rng.uniform(0.75, 3.0)))
    aspect = rng.choice((1.0, 1.0, 1.0, rng.uniform(0.5, 2.0)))
    width = round(VIEW * scale * min(1.0, aspect))
    height = round(VIEW * scale * min(1.0, 1 / aspect))
    texts = [random_line(rng, longest) for _ in range(rng.randint(*lines))]
    size = rng.randint(*TYPE_SIZES)
    font = _font(rng.choice(fonts), max(8, round(size * scale)))
    leading = round(size * scale * rng.uniform(1.15, 1.6))
    margin = 4 * scale
    texts = [_fit(text, font, width=width - 2 * margin) for text in texts][
        : max(1, int((height - 2 * margin) // leading))
    ]

    light = rng.randint(215, 255)
    dark = rng.randint(0, 70)
    tint = tuple(min(255, light + rng.randint(-8, 8)) for _ in range(3))
    ink = tuple(max(0, dark + rng.randint(-20, 20)) for _ in range(3))
    if rng.random() < 0.4:
        tint = (255, 255, 255)
        ink = (0, 0, 0)
    picture = Image.new("RGB", (width, height), tint)
    pen = ImageDraw.Draw(picture)
    top = rng.uniform(margin, max(margin, height - margin - leading * len(texts)))
    left = rng.uniform(margin, max(margin, width - margin - max(font.getlength(t) for t in texts)))
    left_edge = rng.random() < 0.6
    glyphs: list[Glyph] = []
    boxes: list[Box] = []
    shrink = VIEW / max(width, height)
    shift_x = (VIEW - width * shrink) / 2
    shift_y = (VIEW - height * shrink) / 2
    for row, text in enumerate(texts):
        x = (
            left
            if left_edge
            else rng.uniform(margin, max(margin, width - margin - font.getlength(text)))
        )
        y = top + row * leading
        pen.text((x, y), text, font=font, fill=ink)
        left_ink, top_ink, right_ink, bottom_ink = pen.textbbox((x, y), text, font=font)
        boxes.append((round(left_ink), round(top_ink), round(right_ink), round(bottom_ink)))
        middle = y + font.getmetrics()[0] - 0.33 * size * scale
        for character in text:
            advance = font.getlength(character)  # kerning moves a centre by less than a pixel
            if character != " ":
                glyphs.append(
                    Glyph(
                        character, (x + advance / 2) * shrink + shift_x, middle * shrink + shift_y
                    )
                )
            x += advance
    return Drawing(picture, "\n".join(texts), tuple(glyphs), tuple(boxes))


def _fit(text: str, font: ImageFont.FreeTypeFont, *, width: float) -> str:
    while len(text) > 1 and font.getlength(text) > width:
        text = text[:-1].rstrip()
    return text


def into_view(picture: Image.Image) -> Image.Image:
    """The picture scaled to the pocket's square view and padded with mid grey, as the engine
    does it.
    """
    if picture.size == (VIEW, VIEW):
        return picture
    return ImageOps.pad(picture, (VIEW, VIEW), color=PAD)
