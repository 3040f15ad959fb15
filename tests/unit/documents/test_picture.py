"""Pictures come out upright, on white, in RGB; a picture that cannot be read says why."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from ocrd.documents.document import open_document
from ocrd.documents.kinds import SUFFIXES
from ocrd.errors import (
    DamagedDocument,
    OversizedDocument,
)
from tests.unit.documents.files import (
    at,
    close,
    first_page,
    grey_tiff,
    refused,
    two_coloured,
)


@pytest.mark.parametrize("suffix", sorted(SUFFIXES - {".pdf"}))
def test_every_format_is_decoded_as_it_was_drawn(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    two_coloured().save(path)
    page = first_page(path)
    assert page.mode == "RGB" and page.size == (80, 40)
    assert close(at(page, 10, y=20), (255, 0, 0)) and close(at(page, 70, y=20), (0, 0, 255))


@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.webp"])
def test_only_the_first_frame_of_an_animation_is_a_page(tmp_path: Path, name: str) -> None:
    frames = [Image.new("RGB", (30, 20), c) for c in ((255, 0, 0), (0, 0, 255))]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
    with open_document(tmp_path / name) as document:
        assert document.page_count == 1
        assert close(at(document.page(0).image, 5, y=5), (255, 0, 0))


def test_a_photo_taken_sideways_is_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate 90 degrees clockwise to view
    two_coloured().save(tmp_path / "a.jpg", exif=exif, quality=95)
    page = first_page(tmp_path / "a.jpg")
    assert page.size == (40, 80)
    assert close(at(page, 20, y=10), (255, 0, 0), by=20) and close(
        at(page, 20, y=70), (0, 0, 255), by=20
    )


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P"])
def test_transparent_pixels_become_white(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "a.png"
    picture = Image.new("RGBA", (20, 20), (0, 0, 0, 0))
    picture.paste((0, 0, 0, 255), (0, 0, 10, 20))
    if mode == "P":
        palette = Image.new("P", (20, 20), 1)
        palette.putpalette([0, 0, 0, 9, 9, 9])
        palette.paste(0, (0, 0, 10, 20))
        palette.save(path, transparency=1)
    elif mode == "PA":
        picture.quantize(4).save(path)
    else:
        picture.convert(mode).save(path)
    page = first_page(path)
    assert close(at(page, 3, y=3), (0, 0, 0)) and close(at(page, 15, y=3), (255, 255, 255))


def test_a_16_bit_scan_keeps_its_mid_greys(tmp_path: Path) -> None:
    values = np.full((10, 20), 0x8080, dtype=np.uint16)
    values[:, 10:] = 0xFFFF
    for name in ("a.png", "a.tif"):
        Image.fromarray(values).save(tmp_path / name)
        page = first_page(tmp_path / name)
        assert at(page, 2, y=2) == (128, 128, 128) and at(page, 15, y=2) == (255, 255, 255)


@pytest.mark.parametrize("mode", ["CMYK", "L", "1", "P"])
def test_other_colour_modes_keep_black_and_white(tmp_path: Path, mode: str) -> None:
    picture = Image.new("RGB", (64, 32), "white")
    picture.paste((0, 0, 0), (0, 0, 32, 32))
    picture.convert(mode).save(tmp_path / "a.tif")
    page = first_page(tmp_path / "a.tif")
    assert close(at(page, 5, y=5), (0, 0, 0), by=40) and close(at(page, 50, y=5), (255, 255, 255))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp", ".bmp", ".heic", ".jp2"])
def test_a_truncated_picture_is_damaged(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (200, 200, 3), dtype=np.uint8)
    path = tmp_path / f"a{suffix}"
    Image.fromarray(noise).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 3])
    refused(path, DamagedDocument)


def test_a_picture_that_claims_to_be_huge_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = (
        struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    )
    data = struct.pack(">I", 100) + b"IDAT" + bytes(104)
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + data)
    assert "60000 x 60000" in refused(tmp_path / "a.png", OversizedDocument)


def test_the_primary_picture_of_a_heic_is_the_page(tmp_path: Path) -> None:
    file = pillow_heif.from_pillow(Image.new("RGB", (64, 64), (255, 0, 0)))
    file.add_from_pillow(Image.new("RGB", (64, 64), (0, 0, 255)))
    file.save(tmp_path / "a.heic", primary_index=1)
    assert close(at(first_page(tmp_path / "a.heic"), 5, y=5), (0, 0, 255))


@pytest.mark.parametrize(
    ("bits", "photometric", "shown"),
    [(12, 1, (0, 128, 255)), (16, 1, (0, 128, 255)), (16, 0, (255, 127, 0))],
)
def test_grey_values_follow_the_depth_and_photometric_tag_of_the_tiff(
    tmp_path: Path, bits: int, photometric: int, shown: tuple[int, ...]
) -> None:
    top = 2**bits - 1
    row = np.array([[0, (top + 1) // 2, top, top]], dtype=np.uint16)
    (tmp_path / "a.tif").write_bytes(
        grey_tiff(np.repeat(row, 4, axis=0), bits, photometric=photometric)
    )
    page = first_page(tmp_path / "a.tif")
    assert tuple(at(page, x, y=1)[0] for x in range(3)) == shown


def test_grey_values_of_any_width_are_scaled_and_not_clipped(tmp_path: Path) -> None:
    values_32 = np.array([[0, 2**29, 2**30]], dtype=np.int32)
    for values in (
        values_32,
        (values_32 / 2**30).astype(np.float32),
        np.array([[0, 500, 1000]], dtype=np.float32),
    ):
        Image.fromarray(values).save(tmp_path / "a.tif")
        page = first_page(tmp_path / "a.tif")
        assert close(tuple(at(page, x, y=0)[0] for x in range(3)), (0, 128, 255), by=1)


def test_an_infinite_pixel_does_not_make_a_float_page_black(tmp_path: Path) -> None:
    Image.fromarray(np.array([[np.nan, np.inf, 0.5, 1.0]], dtype=np.float32)).save(
        tmp_path / "a.tif"
    )
    page = first_page(tmp_path / "a.tif")
    assert close(at(page, 2, y=0), (128, 128, 128), by=1) and at(page, 3, y=0) == (255, 255, 255)
