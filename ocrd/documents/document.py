"""Open any file that ocrd reads as a document of pages, one held at a time."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Protocol

from PIL import UnidentifiedImageError

from ocrd.documents.kinds import PDF_MARK_WITHIN, sniff
from ocrd.documents.page import DocumentLimits, Page
from ocrd.documents.pdf import PdfPages
from ocrd.documents.picture import PicturePages
from ocrd.errors import (
    DamagedDocument,
    DocumentError,
    EmptyDocument,
    OversizedDocument,
    UnsupportedDocument,
)

__all__ = ["Document", "DocumentLimits", "Page", "open_document"]


class Pages(Protocol):
    """What each kind of file provides: how many pages, one page upright in RGB, and an end."""

    def count(self) -> int: ...
    def page(self, index: int) -> Page: ...
    def close(self) -> None: ...


class Document:
    """An open file; use it in a ``with``.

    Pages are made when asked for and can be asked for in any order.
    """

    def __init__(self, path: Path, kind: str, *, pages: Pages, limits: DocumentLimits) -> None:
        self.path = path
        self.kind = kind
        self._pages = pages
        with _Named(path):
            self.page_count = pages.count()
        if self.page_count == 0:
            raise EmptyDocument(f"{path.name}: there are no pages in it; save or export it again")
        if self.page_count > limits.max_pages:
            raise OversizedDocument(
                f"{path.name}: it has {self.page_count} pages, more than {limits.max_pages}; split it"
            )

    def page(self, index: int) -> Page:
        """Page ``index`` from 0, upright, RGB.

        Raises DocumentError when it cannot be decoded, IndexError when there is no such page.
        """
        if (
            not 0 <= index < self.page_count
        ):  # the caller's mistake, not the file's: never "damaged"
            raise IndexError(
                f"{self.path.name}: there is no page {index}, only 0 to {self.page_count - 1}"
            )
        with _Named(self.path):
            return self._pages.page(index)

    def pages(self, start: int = 0) -> Iterator[Page]:
        """Pages from ``start`` on, one at a time."""
        for index in range(start, self.page_count):
            yield self.page(index)

    def close(self) -> None:
        self._pages.close()

    def __enter__(self) -> Document:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_document(path: Path, limits: DocumentLimits = DocumentLimits()) -> Document:  # noqa: B008 - frozen
    """Open ``path`` as what its content says it is, whatever its suffix.

    Raises EmptyDocument, OversizedDocument, UnsupportedDocument, EncryptedDocument or
    DamagedDocument, each with a sentence that names the file; OSError when the file system says no.
    """
    size = path.stat().st_size
    if size == 0:
        raise EmptyDocument(f"{path.name}: the file is empty (0 bytes); save or export it again")
    if size > limits.max_bytes:
        most = limits.max_bytes // 1024**2
        raise OversizedDocument(
            f"{path.name}: it has {size // 1024**2} MB, more than the {most} allowed; split it or raise the limit"
        )
    with path.open("rb") as file:
        kind = sniff(file.read(PDF_MARK_WITHIN + 16))
    if kind is None:
        raise UnsupportedDocument(
            f"{path.name}: it is not a picture or PDF that ocrd reads, whatever its name says"
        )
    with _Named(path):
        pages: Pages = PdfPages(path, limits) if kind == "pdf" else PicturePages(path, limits)
    try:
        return Document(path, kind, pages=pages, limits=limits)
    except BaseException:
        pages.close()
        raise


class _Named:
    """Turn whatever a decoder throws into DamagedDocument with the file's name.

    Decoders throw almost anything at a broken file (struct.error, EOFError, ValueError,
    SyntaxError, MemoryError...); only our own errors, and the file system's about the file itself,
    pass through.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        return None

    def __exit__(  # noqa: PLR0917 - the protocol of `with`
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not isinstance(error, Exception) or isinstance(error, DocumentError):
            return
        # EINVAL comes from seeking to a nonsense offset that the file itself gave, so the file is
        # at fault.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            return
        known = isinstance(error, UnidentifiedImageError)  # its text says only the whole path again
        said = " ".join(f"{type(error).__name__}: {error}".split()).strip(": ")  # some span lines
        what = "its header cannot be read" if known else said
        raise DamagedDocument(
            f"{self.path.name}: it is damaged or cut short ({what}); save or export it again"
        ) from error
