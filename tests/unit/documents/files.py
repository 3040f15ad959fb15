"""Files to open, drawn by the tests, and what comes out of them."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ocrd.documents.document import open_document
from ocrd.documents.page import DocumentLimits
from ocrd.errors import (
    DocumentError,
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


def minimal_pdf(objects: list[bytes], trailer: bytes = b"") -> bytes:
    """A PDF of these objects. The first one is the catalogue."""
    out = b"%PDF-1.4\n"
    offsets = []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    size = len(objects) + 1
    out += b"xref\n0 %d\n0000000000 65535 f \n" % size
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer\n<< /Size %d /Root 1 0 R %s >>\n" % (size, trailer)
    return out + b"startxref\n%d\n%%%%EOF" % start


_PAGE_TREE = b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>"
_PAGE = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 72 72] >>"


def locked_pdf() -> bytes:
    """A PDF that needs a password: its security handler has arbitrary check values."""
    hashes = b"/O <" + b"ab" * 32 + b"> /U <" + b"cd" * 32 + b">"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        _PAGE_TREE,
        _PAGE,
        b"<< /Filter /Standard /V 1 /R 2 /P -4 " + hashes + b" >>",
    ]
    identity = b"/ID [<" + b"01" * 16 + b"> <" + b"01" * 16 + b">]"
    return minimal_pdf(objects, b"/Encrypt 4 0 R " + identity)


def xfa_pdf() -> bytes:
    """A PDF with an XFA form, which pypdfium2 gives advice about."""
    form = b"<xdp:xdp xmlns:xdp='http://ns.adobe.com/xdp/'></xdp:xdp>"
    return minimal_pdf(
        [
            b"<< /Type /Catalog /Pages 2 0 R /AcroForm 4 0 R >>",
            _PAGE_TREE,
            _PAGE,
            b"<< /Fields [] /XFA 5 0 R >>",
            b"<< /Length %d >>\nstream\n%s\nendstream" % (len(form), form),
        ]
    )


def damaged_fax(path: Path) -> None:
    """Write a TIFF whose fax data has an error, which libtiff prints to standard error."""
    noise = np.random.default_rng(2).integers(0, 2, (200, 200), dtype=np.uint8) * 255
    Image.fromarray(noise).convert("1").save(path, "TIFF", compression="group4")
    data = bytearray(path.read_bytes())
    for index in range(500, 600):
        data[index] ^= 0x5A
    path.write_bytes(data)


def truncated_exif(path: Path) -> None:
    """Write a JPEG whose EXIF data ends too early, which Pillow warns about."""
    exif = b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01\x03\0\x01\0\0\0"
    two_coloured().save(path, "JPEG", exif=exif)


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
