"""Pictures and PDFs come out upright, on white, in RGB; what cannot be read says why."""

from __future__ import annotations

import errno
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pillow_heif
import pypdfium2 as pdfium
import pytest
from PIL import Image

from ocrd.documents.document import open_document
from ocrd.documents.kinds import SUFFIXES, is_readable_name, sniff
from ocrd.documents.page import DocumentLimits
from ocrd.errors import (
    DamagedDocument,
    DocumentError,
    EmptyDocument,
    EncryptedDocument,
    OversizedDocument,
    UnsupportedDocument,
)

Pixel = tuple[int, ...]


def first_page(path: Path, limits: DocumentLimits = DocumentLimits()) -> Image.Image:  # noqa: B008 - frozen
    with open_document(path, limits) as document:
        return document.page(0).image


def at(image: Image.Image, x: int, *, y: int) -> Pixel:
    pixel = image.getpixel((x, y))
    assert isinstance(pixel, tuple)
    return tuple(int(v) for v in pixel)


def close(a: Pixel, b: Pixel, *, by: int = 6) -> bool:
    return len(a) == len(b) and all(abs(x - y) <= by for x, y in zip(a, b, strict=True))


def two_coloured(size: tuple[int, int] = (80, 40)) -> Image.Image:
    """Left half red, right half blue."""
    picture = Image.new("RGB", size, (255, 0, 0))
    picture.paste((0, 0, 255), (size[0] // 2, 0, *size))
    return picture


@pytest.mark.parametrize("suffix", sorted(SUFFIXES - {".pdf"}))
def test_every_format_comes_out_as_it_was_drawn(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    two_coloured().save(path)
    page = first_page(path)
    assert page.mode == "RGB" and page.size == (80, 40)
    assert close(at(page, 10, y=20), (255, 0, 0)) and close(at(page, 70, y=20), (0, 0, 255))


def test_a_pdf_is_drawn_at_the_wanted_density(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    two_coloured((144, 72)).save(path, resolution=72)
    assert first_page(path).size == (400, 200)
    assert close(at(first_page(path), 50, y=100), (255, 0, 0))


def test_all_pages_come_and_any_can_be_asked_for(tmp_path: Path) -> None:
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    pages = [Image.new("RGB", (30, 20), colour) for colour in colours]
    for name in ("a.tif", "a.pdf"):
        pages[0].save(tmp_path / name, save_all=True, append_images=pages[1:])
        with open_document(tmp_path / name) as document:
            assert document.page_count == 3
            assert close(at(document.page(2).image, 5, y=5), colours[2])
            assert [page.index for page in document.pages(start=1)] == [1, 2]
            assert close(at(document.page(0).image, 5, y=5), colours[0])


@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.webp"])
def test_of_an_animation_only_the_first_frame_is_a_page(tmp_path: Path, name: str) -> None:
    frames = [Image.new("RGB", (30, 20), c) for c in ((255, 0, 0), (0, 0, 255))]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
    with open_document(tmp_path / name) as document:
        assert document.page_count == 1
        assert close(at(document.page(0).image, 5, y=5), (255, 0, 0))


def test_a_photo_taken_sideways_comes_out_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate 90 degrees clockwise to view
    two_coloured().save(tmp_path / "a.jpg", exif=exif, quality=95)
    page = first_page(tmp_path / "a.jpg")
    assert page.size == (40, 80)
    assert close(at(page, 20, y=10), (255, 0, 0), by=20) and close(
        at(page, 20, y=70), (0, 0, 255), by=20
    )


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P"])
def test_what_is_transparent_becomes_white_paper(tmp_path: Path, mode: str) -> None:
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


def test_content_decides_and_not_the_suffix(tmp_path: Path) -> None:
    two_coloured().save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.pdf")
    with open_document(tmp_path / "a.pdf") as document:
        assert document.kind == "png"


def refused(
    path: Path,
    error: type[DocumentError],
    *,
    limits: DocumentLimits = DocumentLimits(),  # noqa: B008 - frozen
) -> str:
    with pytest.raises(error) as caught, open_document(path, limits) as document:
        list(document.pages())
    assert path.name in str(caught.value)
    return str(caught.value)


def test_an_empty_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    assert "empty" in refused(tmp_path / "a.png", EmptyDocument)


def test_words_with_a_pictures_suffix_are_unsupported(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("these are words")
    refused(tmp_path / "a.png", UnsupportedDocument)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp", ".bmp", ".heic", ".jp2"])
def test_a_file_cut_short_is_damaged(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (200, 200, 3), dtype=np.uint8)
    path = tmp_path / f"a{suffix}"
    Image.fromarray(noise).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 3])
    refused(path, DamagedDocument)


def test_rubbish_behind_a_pdf_mark_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.7\n" + bytes(range(256)) * 20)
    refused(tmp_path / "a.pdf", DamagedDocument)


def test_a_pdf_behind_a_password_is_encrypted(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(locked_pdf())
    assert "password" in refused(path, EncryptedDocument)


def locked_pdf() -> bytes:
    """A minimal PDF whose security handler accepts no empty password (its check values are
    arbitrary).
    """
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 72 72] >>",
        b"<< /Filter /Standard /V 1 /R 2 /P -4 /O <"
        + b"ab" * 32
        + b"> /U <"
        + b"cd" * 32
        + b"> >>",
    ]
    out = b"%PDF-1.4\n"
    places = []
    for number, body in enumerate(objects, start=1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 5\n0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % p for p in places)
    identity = b"/ID [<" + b"01" * 16 + b"> <" + b"01" * 16 + b">]"
    return (
        out
        + b"trailer\n<< /Size 5 /Root 1 0 R /Encrypt 4 0 R "
        + identity
        + b" >>\nstartxref\n%d\n%%%%EOF" % start
    )


def test_too_many_bytes_or_pages_are_oversized(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    pages = [two_coloured(), two_coloured()]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    refused(path, OversizedDocument, limits=DocumentLimits(max_bytes=100))
    refused(path, OversizedDocument, limits=DocumentLimits(max_pages=1))
    refused(path, OversizedDocument, limits=DocumentLimits(max_pixels=80 * 40 - 1))


def test_a_picture_that_claims_to_be_huge_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = (
        struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    )
    data = struct.pack(">I", 100) + b"IDAT" + bytes(104)
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + data)
    assert "60000 x 60000" in refused(tmp_path / "a.png", OversizedDocument)


def test_a_poster_is_drawn_coarser_instead_of_refused(tmp_path: Path) -> None:
    pdf = pdfium.PdfDocument.new()
    pdf.new_page(14_400, 14_400).close()
    pdf.save(tmp_path / "a.pdf")
    page = first_page(tmp_path / "a.pdf", DocumentLimits(max_pixels=1_000_000))
    assert 900_000 < page.width * page.height <= 1_000_000


def test_a_missing_file_stays_the_file_systems_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_document(tmp_path / "none.png")


def test_names_are_known_in_any_case() -> None:
    assert is_readable_name("SCAN.PNG") and not is_readable_name("scan.png.txt")


def test_rubbish_before_a_pdf_mark_is_forgiven() -> None:
    assert sniff(b"From: scanner\n%PDF-1.4") == "pdf"
    assert sniff(b"plain text") is None


def test_the_daemon_learns_the_suffixes_without_an_imaging_library() -> None:
    code = (
        "import sys, ocrd.documents.kinds; print({'PIL', 'pypdfium2', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_words_that_begin_like_a_bitmap_are_unsupported(tmp_path: Path) -> None:
    (tmp_path / "a.bmp").write_text("BMW: the driver's manual. " * 40)
    refused(tmp_path / "a.bmp", UnsupportedDocument)


def test_of_a_heic_the_primary_picture_is_the_page(tmp_path: Path) -> None:
    file = pillow_heif.from_pillow(Image.new("RGB", (64, 64), (255, 0, 0)))
    file.add_from_pillow(Image.new("RGB", (64, 64), (0, 0, 255)))
    file.save(tmp_path / "a.heic", primary_index=1)
    assert close(at(first_page(tmp_path / "a.heic"), 5, y=5), (0, 0, 255))


def grey_tiff(
    values: np.ndarray[tuple[int, int], np.dtype[np.uint16]], bits: int, *, photometric: int
) -> bytes:
    """An uncompressed little-endian grey TIFF; 12-bit samples are packed two in three bytes."""
    height, width = values.shape
    if bits == 12:
        text = "".join(f"{int(v):012b}" for v in values.ravel())
        data = bytes(int(text[i : i + 8], 2) for i in range(0, len(text), 8))
    else:
        data = values.astype("<u2").tobytes()
    tags = {
        256: width,
        257: height,
        258: bits,
        259: 1,
        262: photometric,
        277: 1,
        278: height,
        279: len(data),
    }
    tags[273] = 8 + 2 + 12 * (len(tags) + 1) + 4
    entries = b"".join(
        struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items())
    )
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + data


@pytest.mark.parametrize(
    ("bits", "photometric", "shown"),
    [(12, 1, (0, 128, 255)), (16, 1, (0, 128, 255)), (16, 0, (255, 127, 0))],
)
def test_wide_greys_follow_the_depth_and_sense_the_tiff_gives(
    tmp_path: Path, bits: int, photometric: int, shown: tuple[int, ...]
) -> None:
    top = 2**bits - 1
    row = np.array([[0, (top + 1) // 2, top, top]], dtype=np.uint16)
    (tmp_path / "a.tif").write_bytes(
        grey_tiff(np.repeat(row, 4, axis=0), bits, photometric=photometric)
    )
    page = first_page(tmp_path / "a.tif")
    assert tuple(at(page, x, y=1)[0] for x in range(3)) == shown


def test_greys_of_any_width_are_scaled_and_not_cut_to_white(tmp_path: Path) -> None:
    whole = np.array([[0, 2**29, 2**30]], dtype=np.int32)
    for values in (
        whole,
        (whole / 2**30).astype(np.float32),
        np.array([[0, 500, 1000]], dtype=np.float32),
    ):
        Image.fromarray(values).save(tmp_path / "a.tif")
        page = first_page(tmp_path / "a.tif")
        assert close(tuple(at(page, x, y=0)[0] for x in range(3)), (0, 128, 255), by=1)


def test_one_unmeasured_point_does_not_blacken_a_float_page(tmp_path: Path) -> None:
    Image.fromarray(np.array([[np.nan, np.inf, 0.5, 1.0]], dtype=np.float32)).save(
        tmp_path / "a.tif"
    )
    page = first_page(tmp_path / "a.tif")
    assert close(at(page, 2, y=0), (128, 128, 128), by=1) and at(page, 3, y=0) == (255, 255, 255)


def test_a_pdf_without_pages_is_empty_even_after_a_locked_one(tmp_path: Path) -> None:
    (tmp_path / "locked.pdf").write_bytes(locked_pdf())
    refused(tmp_path / "locked.pdf", EncryptedDocument)  # leaves its error behind in pdfium
    body = b"%PDF-1.4\n1 0 obj\n<</Type/Catalog/Pages 2 0 R>>\nendobj\n"
    second = len(body)
    body += b"2 0 obj\n<</Type/Pages/Kids[]/Count 0>>\nendobj\n"
    table = b"xref\n0 3\n0000000000 65535 f \n%010d 00000 n \n%010d 00000 n \n" % (9, second)
    end = b"trailer\n<</Size 3/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % len(body)
    (tmp_path / "a.pdf").write_bytes(body + table + end)
    refused(tmp_path / "a.pdf", EmptyDocument)


def test_a_pdf_locked_in_an_unknown_way_is_encrypted(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(
        locked_pdf().replace(b"/Filter /Standard", b"/Filter /Odd     ")
    )
    refused(tmp_path / "a.pdf", EncryptedDocument)


@pytest.mark.parametrize("size", [(14_400, 1), (14_400, 14_400), (300, 0.01)])
@pytest.mark.parametrize("most", [1, 1000, 1_000_000])
def test_no_pdf_page_passes_the_pixel_limit(
    tmp_path: Path, size: tuple[float, float], most: int
) -> None:
    pdf = pdfium.PdfDocument.new()
    pdf.new_page(*size).close()
    pdf.save(tmp_path / "a.pdf")
    page = first_page(tmp_path / "a.pdf", DocumentLimits(max_pixels=most))
    assert page.width * page.height <= most


def test_a_pdf_cut_short_is_damaged(tmp_path: Path) -> None:
    two_coloured().save(tmp_path / "a.pdf")
    data = (tmp_path / "a.pdf").read_bytes()
    (tmp_path / "a.pdf").write_bytes(data[: len(data) // 2])
    refused(tmp_path / "a.pdf", DamagedDocument)


def test_a_decoder_sent_to_a_nonsense_place_means_damage_but_a_failing_disk_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_coloured().save(tmp_path / "a.png")
    for number, expected in ((errno.EINVAL, DamagedDocument), (errno.EIO, OSError)):

        def fail(*_: object, number: int = number, **__: object) -> None:
            raise OSError(number, "from the decoder")

        monkeypatch.setattr(Image, "open", fail)
        with pytest.raises(expected):
            open_document(tmp_path / "a.png")


def test_asking_for_a_page_that_is_not_there_is_not_damage(tmp_path: Path) -> None:
    two_coloured().save(tmp_path / "a.png")
    with open_document(tmp_path / "a.png") as document:
        for index in (-1, 1):
            with pytest.raises(IndexError):
                document.page(index)


def test_a_refusal_is_one_line(tmp_path: Path) -> None:
    two_coloured().save(tmp_path / "a.heic")
    data = (tmp_path / "a.heic").read_bytes()
    (tmp_path / "a.heic").write_bytes(data[:-20])
    assert "\n" not in refused(tmp_path / "a.heic", DamagedDocument)


def test_a_turned_pdf_page_comes_out_as_it_is_shown(tmp_path: Path) -> None:
    two_coloured((144, 72)).save(tmp_path / "a.pdf", resolution=72)
    pdf = pdfium.PdfDocument(tmp_path / "a.pdf")
    page = pdf[0]
    page.set_rotation(90)
    page.close()
    pdf.save(tmp_path / "b.pdf")
    pdf.close()
    shown = first_page(tmp_path / "b.pdf")
    assert shown.size == (200, 400)
    assert close(at(shown, 100, y=50), (255, 0, 0)) and close(at(shown, 100, y=350), (0, 0, 255))
