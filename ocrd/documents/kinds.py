"""Which files ocrd reads: by name for the inbox, by content for opening.

No imaging library is imported here.
"""

from __future__ import annotations

# In lower case, with their dot.
SUFFIXES = frozenset(
    {
        ".avif",
        ".bmp",
        ".gif",
        ".heic",
        ".heif",
        ".j2k",
        ".jp2",
        ".jpeg",
        ".jpg",
        ".pdf",
        ".png",
        ".tif",
        ".tiff",
        ".webp",
    }
)

_PDF_MARK = b"%PDF-"
# PDF readers accept the mark within the first kilobyte: scanners and mailers write before it.
_PDF_MARK_WITHIN_BYTES = 1024

# The bytes that `detect_kind` needs.
HEAD_BYTES = _PDF_MARK_WITHIN_BYTES + len(_PDF_MARK)

_SIGNATURES = (
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
# Checked as well, because words can begin with "BM".
_BMP_HEADER_SIZES = frozenset({12, 16, 40, 52, 56, 64, 108, 124})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"})
# The brands of an ISO media file are within its first bytes.
_BRANDS_WITHIN_BYTES = 64


def detect_kind(head: bytes) -> str | None:
    """Return the kind of a file, such as ``png``; None for a kind that ocrd does not read.

    Args:
        head: The first `HEAD_BYTES` bytes of the file.
    """
    for signature, kind in _SIGNATURES:
        if head.startswith(signature):
            return kind
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADER_SIZES:
        return "bmp"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[4:8] == b"ftyp":
        end = min(len(head), _BRANDS_WITHIN_BYTES)
        brands = {head[at : at + 4] for at in range(8, end, 4)}
        if brands & _AVIF_BRANDS:
            return "avif"
        if brands & _HEIF_BRANDS:
            return "heif"
    return "pdf" if _PDF_MARK in head[:HEAD_BYTES] else None
