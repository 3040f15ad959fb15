"""Draw short printed text, and record where each character is.

The pocket model is trained and tested on these pictures. The fonts come from packages on the index
(the `dev` extra in pyproject.toml), so anyone can draw the same pictures from a seed.
"""

from __future__ import annotations

import random
import re
import string
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from ocrd.types import Box

# Pixels on a side of the pocket model's view.
VIEW = 256
# Smallest and largest font size, in pixels of the view.
TYPE_SIZES = (24, 40)
# The grey that the engine pads views with.
PAD = (127, 127, 127)

# Red, green and blue, 0 to 255.
Colour = tuple[int, int, int]

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
MAX_LINES = 3
MAX_CHARACTERS = 12


@dataclass(frozen=True)
class Glyph:
    """One drawn character and its centre, in pixels of the view."""

    character: str
    x: float
    y: float


@dataclass(frozen=True)
class Drawing:
    """A picture and what is written on it."""

    # Of any size, as a user would have it.
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
    """English words from the documentation that is part of Python."""
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


def random_line(rng: random.Random, longest: int = MAX_CHARACTERS) -> str:
    """A line of 1 to ``longest`` characters: words, numbers and random letters."""
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
    lines: tuple[int, int] = (1, MAX_LINES),
    longest: int = MAX_CHARACTERS,
) -> Drawing:
    """Draw a picture with random text, size, colours and positions; all text is inside it.

    Args:
        rng: Makes the choices, so that a seed gives the same picture.
        fonts: One of them is used.
        lines: Fewest and most lines. Those that do not fit are left out.
        longest: Most characters of a line.
    """
    scale, width, height = _random_size(rng)
    texts = [random_line(rng, longest) for _ in range(rng.randint(*lines))]
    type_size = rng.randint(*TYPE_SIZES)
    font = _font(rng.choice(fonts), max(8, round(type_size * scale)))
    line_height = round(type_size * scale * rng.uniform(1.15, 1.6))
    margin = 4 * scale
    texts = [_fit(text, font, width=width - 2 * margin) for text in texts]
    texts = texts[: max(1, int((height - 2 * margin) // line_height))]
    paper, ink = _random_colours(rng)
    picture = Image.new("RGB", (width, height), paper)
    pen = ImageDraw.Draw(picture)
    top = rng.uniform(margin, max(margin, height - margin - line_height * len(texts)))
    left = rng.uniform(margin, max(margin, width - margin - max(font.getlength(t) for t in texts)))
    is_aligned = rng.random() < 0.6
    glyphs: list[Glyph] = []
    boxes: list[Box] = []
    for row, text in enumerate(texts):
        furthest = max(margin, width - margin - font.getlength(text))
        x = left if is_aligned else rng.uniform(margin, furthest)
        y = top + row * line_height
        pen.text((x, y), text, font=font, fill=ink)
        left_ink, top_ink, right_ink, bottom_ink = pen.textbbox((x, y), text, font=font)
        boxes.append((round(left_ink), round(top_ink), round(right_ink), round(bottom_ink)))
        middle = y + font.getmetrics()[0] - 0.33 * type_size * scale
        glyphs += _glyphs(text, font, x=x, middle=middle, size=picture.size)
    return Drawing(picture, "\n".join(texts), tuple(glyphs), tuple(boxes))


def _random_size(rng: random.Random) -> tuple[float, int, int]:
    """(pixels of the picture for each pixel of the view, width, height)."""
    scale = rng.choice((1.0, 1.0, 1.0, rng.uniform(0.75, 3.0)))
    aspect = rng.choice((1.0, 1.0, 1.0, rng.uniform(0.5, 2.0)))
    return scale, round(VIEW * scale * min(1.0, aspect)), round(VIEW * scale * min(1.0, 1 / aspect))


def _random_colours(rng: random.Random) -> tuple[Colour, Colour]:
    """(paper, ink): nearly grey, or black on white."""
    light = rng.randint(215, 255)
    dark = rng.randint(0, 70)
    red, green, blue = (min(255, light + rng.randint(-8, 8)) for _ in range(3))
    paper = (red, green, blue)
    red, green, blue = (max(0, dark + rng.randint(-20, 20)) for _ in range(3))
    ink = (red, green, blue)
    if rng.random() < 0.4:
        return (255, 255, 255), (0, 0, 0)
    return paper, ink


def _fit(text: str, font: ImageFont.FreeTypeFont, *, width: float) -> str:
    """The text without the last characters that do not fit."""
    while len(text) > 1 and font.getlength(text) > width:
        text = text[:-1].rstrip()
    return text


def _glyphs(
    text: str, font: ImageFont.FreeTypeFont, *, x: float, middle: float, size: tuple[int, int]
) -> Iterator[Glyph]:
    """The characters of a line that begins at ``x`` of a picture of ``size``, without spaces."""
    for character in text:
        advance = font.getlength(character)  # kerning moves a centre by less than a pixel
        if character != " ":
            yield Glyph(character, *point_in_view(x + advance / 2, middle, size=size))
        x += advance


def point_in_view(x: float, y: float, *, size: tuple[int, int]) -> tuple[float, float]:
    """Convert a point of a picture of ``size`` to the view that `fit_to_view` makes of it."""
    shrink = VIEW / max(size)
    return x * shrink + (VIEW - size[0] * shrink) / 2, y * shrink + (VIEW - size[1] * shrink) / 2


def fit_to_view(picture: Image.Image) -> Image.Image:
    """Scale a picture to the square view and pad it with grey, as the engine does."""
    if picture.size == (VIEW, VIEW):
        return picture
    return ImageOps.pad(picture, (VIEW, VIEW), color=PAD)
