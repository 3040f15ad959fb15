"""Whatever a decoder raises becomes DamagedDocument with the file's name."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

from PIL import UnidentifiedImageError

from ocrd.errors import DamagedDocument, DocumentError


@contextlib.contextmanager
def wrap_decoder_errors(path: Path) -> Iterator[None]:
    """Raise DamagedDocument for every other exception in the ``with`` block.

    Decoders raise almost anything for a broken file (struct.error, EOFError, ValueError,
    SyntaxError, MemoryError...). Only our own errors, and those of the file system about the file
    itself, are raised unchanged.
    """
    try:
        yield
    except DocumentError:
        raise
    except Exception as error:
        if _is_file_system_error(error):
            raise
        raise DamagedDocument(
            f"{path.name}: it is damaged or incomplete ({_describe(error)}); save or export it "
            "again"
        ) from error


def _is_file_system_error(error: Exception) -> bool:
    # Decoders raise OSError without a number. EINVAL comes from seeking to an impossible offset,
    # which the file itself contains.
    return isinstance(error, OSError) and error.errno not in (None, errno.EINVAL)


def _describe(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):  # its text contains only the path
        return "its header cannot be read"
    text = f"{type(error).__name__}: {error}"
    return " ".join(text.split()).strip(": ")  # some texts have several lines
