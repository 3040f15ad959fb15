"""Which files are ours to read.

By name for the inbox, by content for opening. No imaging library here.
"""

from __future__ import annotations

SUFFIXES = frozenset(
    [
        ".png",
        ".jpg",
        ".jpeg",
        ".tif",
        ".tiff",
        ".webp",
        ".gif",
        ".bmp",
        ".jp2",
        ".j2k",
        ".heic",
        ".heif",
        ".avif",
        ".pdf",
    ]
)

PDF_MARK = b"%PDF-"
# Bytes before the mark that readers accept: scanners and mailers put rubbish there.
PDF_MARK_WITHIN = 1024

_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),  # BigTIFF
    (b"MM\0+", "tiff"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "jpeg2000"),
    (b"\xff\x4f\xff\x51", "jpeg2000"),
)
# Checked too, because "BM" alone also begins plain words.
_BMP_HEADER_SIZES = frozenset({12, 16, 40, 52, 56, 64, 108, 124})
_AVIF_BRANDS = (b"avif", b"avis")
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")


def is_readable_name(name: str) -> bool:
    return any(name.lower().endswith(suffix) for suffix in SUFFIXES)


def sniff(head: bytes) -> str | None:
    """The kind of a file from its first kilobyte; None for what we do not read."""
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADER_SIZES:
        return "bmp"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[4:8] == b"ftyp":
        brands = {head[at : at + 4] for at in range(8, min(len(head), 64), 4)}
        if brands & set(_AVIF_BRANDS):
            return "avif"
        if brands & set(_HEIF_BRANDS):
            return "heif"
    return "pdf" if PDF_MARK in head[: PDF_MARK_WITHIN + len(PDF_MARK)] else None
