"""A page is skipped only when it has nothing on it that a person could read."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from ocrd.engine.blank_page import is_blank
from tools.render_text import TRAINED_FONTS, UNSEEN_FONTS, font_path

pytestmark = pytest.mark.slow


Colour = tuple[int, int, int]
PAPER = (238, 234, 226)
# A4 at 150 dpi, where a cell is a pixel.
SHEET = (1240, 1754)
# A4 at 200 dpi, where a cell is 2 x 2 pixels.
LARGE = (1654, 2339)


def scan(
    sheet: Image.Image, seed: int, *, noise: float = 1.5, quality: int | None = 85
) -> Image.Image:
    """The sheet as a scanner saves it: light that falls off to one side, noise, JPEG."""
    rng = np.random.default_rng(seed)
    pixels = (
        np.asarray(sheet, np.float32) * np.linspace(1, 0.93, sheet.width, dtype=np.float32)[:, None]
    )
    pixels += noise * rng.standard_normal(pixels.shape, dtype=np.float32)
    picture = Image.fromarray(np.clip(pixels, 0, 255).round().astype(np.uint8))
    if quality is None:
        return picture
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def written(
    text: str,
    points: float,
    *,
    colour: Colour,
    at: tuple[int, int] = (500, 700),
    size: tuple[int, int] = LARGE,
    paper: Colour = PAPER,
    font: str = TRAINED_FONTS[0],
) -> Image.Image:
    """A sheet of A4 at 150 or 200 dpi with ``text``."""
    sheet = Image.new("RGB", size, paper)
    type_ = ImageFont.truetype(font_path(font), round(points * size[0] / 8.27 / 72))
    ImageDraw.Draw(sheet).text(at, text, fill=colour, font=type_)
    return sheet


def darker(levels: int, paper: Colour = PAPER) -> Colour:
    red, green, blue = (channel - levels for channel in paper)
    return red, green, blue


def drawn(
    draw: Callable[[ImageDraw.ImageDraw], object], size: tuple[int, int] = LARGE
) -> Image.Image:
    sheet = Image.new("RGB", size, PAPER)
    draw(ImageDraw.Draw(sheet))
    return sheet


def shaded(sheet: Image.Image, depth: int = 30) -> Image.Image:
    """The sheet with the lid's shadow along the left edge."""
    pixels: NDArray[np.float32] = np.array(sheet, np.float32)
    pixels[:, :depth] *= np.linspace(0.4, 1, depth, dtype=np.float32)[:, None]
    return Image.fromarray(pixels.astype(np.uint8))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("size", [SHEET, LARGE, (420, 300)])
def test_an_empty_back_side_is_blank(size: tuple[int, int], seed: int) -> None:
    tint = np.random.default_rng(seed).integers(190, 256, 3)
    assert is_blank(
        scan(
            Image.new("RGB", size, tuple(tint.tolist())),
            seed,
            noise=seed / 2,
            quality=95 - 4 * seed,
        )
    )


@pytest.mark.parametrize("colour", [(255, 255, 255), (0, 0, 0), (12, 200, 90)])
@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (2, 2), (7, 9), (6000, 5000)])
def test_a_page_of_one_colour_is_blank_at_any_size(size: tuple[int, int], colour: Colour) -> None:
    assert is_blank(Image.new("RGB", size, colour))


def test_light_that_falls_off_to_the_corners_is_blank() -> None:
    y, x = np.mgrid[-1:1:1754j, -1:1:1240j]
    light = 240 - 50 * (x**2 + y**2) / 2 - 20 * x
    assert is_blank(Image.fromarray(np.repeat(light[..., None], 3, 2).round().astype(np.uint8)))


@pytest.mark.parametrize("size", [SHEET, LARGE])
def test_specks_of_dust_are_blank(size: tuple[int, int]) -> None:
    def dust(pen: ImageDraw.ImageDraw) -> None:
        for x, y in ((200, 300), (701, 901), (1000, 1502)):
            pen.rectangle((x, y, x + 1, y + 1), fill=(60, 60, 60))

    assert is_blank(scan(drawn(dust, size), 1, quality=None))


@pytest.mark.parametrize("size", [SHEET, LARGE])
def test_a_streak_of_the_sensor_and_the_shadow_of_the_lid_are_blank(size: tuple[int, int]) -> None:
    streaked = drawn(lambda pen: pen.line((801, 0, 801, size[1]), fill=darker(40), width=2), size)
    assert is_blank(scan(shaded(streaked), 2))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("size", [SHEET, LARGE])
def test_one_small_faint_character_is_read(size: tuple[int, int], seed: int) -> None:
    font = (*TRAINED_FONTS[1:], *UNSEEN_FONTS)[seed]
    sheet = written("7aliEg"[seed], 6 + seed / 2, colour=darker(32), font=font, size=size)
    assert not is_blank(scan(sheet, seed))


@pytest.mark.parametrize("seed", range(4))
def test_a_thin_light_font_is_read(seed: int) -> None:
    sheet = written("tlfr"[seed], 8, colour=darker(30), font="font_roboto/files/Roboto-Thin.ttf")
    assert not is_blank(scan(sheet, seed))


def test_faint_writing_in_strong_noise_is_read() -> None:
    assert not is_blank(scan(written("no", 8, colour=darker(30)), 3, noise=6, quality=None))


def test_noise_that_could_hide_writing_is_read() -> None:
    assert not is_blank(scan(written("", 8, colour=PAPER), 4, noise=9, quality=None))


def test_white_on_black_is_read() -> None:
    assert not is_blank(scan(written("e", 6, colour=(60, 60, 60), paper=(10, 10, 10)), 5))


@pytest.mark.parametrize("colour", [(190, 220, 200), (220, 192, 222)])
def test_colour_as_light_as_the_paper_is_read(colour: Colour) -> None:
    paper = (206, 206, 206)
    lightness = [Image.new("RGB", (1, 1), c).convert("L").getpixel((0, 0)) for c in (paper, colour)]
    assert lightness[0] == pytest.approx(lightness[1], abs=3)
    assert not is_blank(scan(written("4", 10, colour=colour, paper=paper), 6, quality=95))


@pytest.mark.parametrize("at", [(2, 800), (1634, 800), (800, 0), (800, 2318), (2, 0), (1634, 2318)])
def test_a_letter_at_the_very_edge_is_read(at: tuple[int, int]) -> None:
    assert not is_blank(scan(written("b", 8, colour=darker(60), at=at), 7))


def test_a_letter_in_the_shadow_of_the_lid_is_read() -> None:
    assert not is_blank(scan(shaded(written("b", 8, colour=darker(90), at=(4, 900))), 8))


def test_a_letter_on_a_streak_is_read() -> None:
    sheet = written("i", 8, colour=darker(70), at=(500, 900))
    ImageDraw.Draw(sheet).line((505, 0, 505, sheet.height), fill=darker(30))
    assert not is_blank(scan(sheet, 9))


def test_a_letter_where_two_parts_of_the_page_meet_is_read() -> None:
    sheet = Image.new("RGB", (5200, 700), PAPER)
    assert is_blank(sheet)
    ImageDraw.Draw(sheet).text(
        (1729, 340), "x", fill=darker(60), font=ImageFont.truetype(font_path(TRAINED_FONTS[0]), 14)
    )
    assert not is_blank(sheet)


def test_a_rule_that_ends_on_the_page_is_read() -> None:
    assert not is_blank(
        scan(drawn(lambda pen: pen.line((300, 1200, 1400, 1200), fill=darker(30))), 10)
    )
    assert not is_blank(
        scan(drawn(lambda pen: pen.line((700, 200, 700, 2339), fill=darker(40))), 10)
    )


def test_a_comma_and_a_full_stop_of_ten_points_are_read() -> None:
    for mark in (",", "."):
        assert not is_blank(scan(written(mark, 11, colour=(40, 40, 40)), 11))


def test_a_thin_pencil_line_is_read() -> None:
    curve = [(600 + 4 * t, 1000 + 30 * np.sin(t / 5)) for t in range(40)]
    sheet = drawn(lambda pen: pen.line(curve, fill=darker(25), width=2)).filter(
        ImageFilter.GaussianBlur(0.8)
    )
    assert not is_blank(scan(sheet, 12))


def test_a_faint_blurred_stamp_is_read() -> None:
    sheet = written("PAID", 24, colour=darker(10)).filter(ImageFilter.GaussianBlur(2))
    assert not is_blank(scan(sheet, 13))


@pytest.mark.parametrize("size", [(6, 8), (9, 12), (30, 40)])
def test_a_picture_filled_by_one_letter_is_read(size: tuple[int, int]) -> None:
    picture = Image.new("RGB", size, "white")
    ImageDraw.Draw(picture).text((0, 0), "E", fill="black", font_size=size[1] * 0.9)
    assert not is_blank(picture)


def test_a_stroke_from_edge_to_edge_of_a_small_picture_is_read() -> None:
    assert not is_blank(
        drawn(lambda pen: pen.line((150, 0, 150, 60), fill=(0, 0, 0), width=6), (300, 60))
    )


def test_a_page_full_of_text_is_read() -> None:
    assert not is_blank(
        scan(
            written(
                "\n".join(["the quick brown fox " * 4] * 60), 9, colour=(20, 20, 20), at=(60, 60)
            ),
            14,
        )
    )
