"""Open any file that ocrd reads as a document of pages, with one page in memory at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from ocrd.documents.decoder_errors import wrap_decoder_errors
from ocrd.documents.kinds import HEAD_BYTES, detect_kind
from ocrd.documents.library_warnings import LibraryWarningLog
from ocrd.documents.page import DocumentLimits, Page, PageSource
from ocrd.documents.pdf import PdfPageSource
from ocrd.documents.picture import PicturePageSource
from ocrd.errors import EmptyDocument, OversizedDocument, UnsupportedDocument

__all__ = ["Document", "DocumentLimits", "Page", "open_document"]

_MIB = 1024**2


class Document:
    """An open file, for a ``with`` statement. Pages can be asked for in any order.

    Attributes:
        path: The file.
        kind: What it contains, such as ``png`` or ``pdf``.
        page_count: The number of its pages, at least 1.
    """

    def __init__(
        self,
        path: Path,
        kind: str,
        *,
        source: PageSource,
        limits: DocumentLimits,
        warning_log: LibraryWarningLog | None,
    ) -> None:
        self.path = path
        self.kind = kind
        self._source = source
        self._warning_log = warning_log
        with _decoding(path, warning_log):
            self.page_count = source.page_count()
        if self.page_count == 0:
            raise EmptyDocument(f"{path.name}: it has no pages; save or export it again")
        if self.page_count > limits.max_pages:
            raise OversizedDocument(
                f"{path.name}: it has {self.page_count} pages, more than {limits.max_pages}; split "
                "it"
            )

    def page(self, index: int) -> Page:
        """Decode page ``index``, counted from 0.

        Returns:
            The page, upright and in RGB.

        Raises:
            DocumentError: It cannot be decoded.
            IndexError: There is no such page.
        """
        # The caller's error, not the file's, so it must not become DamagedDocument.
        if not 0 <= index < self.page_count:
            raise IndexError(
                f"{self.path.name}: there is no page {index}, only 0 to {self.page_count - 1}"
            )
        with _decoding(self.path, self._warning_log):
            return self._source.page(index)

    def pages(self, start: int = 0) -> Iterator[Page]:
        """Decode the pages from ``start`` on, one at a time."""
        for index in range(start, self.page_count):
            yield self.page(index)

    def close(self) -> None:
        """Close the file."""
        with _attribution(self.path, self._warning_log):
            self._source.close()

    def __enter__(self) -> Document:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_document(
    path: Path,
    limits: DocumentLimits = DocumentLimits(),  # noqa: B008 - frozen
    *,
    warning_log: LibraryWarningLog | None = None,
) -> Document:
    """Open a file as what its content says it is, whatever its suffix.

    Args:
        path: The file.
        limits: Which files are refused.
        warning_log: Logs the warnings of libraries; None to leave them alone.

    Raises:
        DocumentError: The file cannot be read. It is an EmptyDocument, OversizedDocument,
            UnsupportedDocument, EncryptedDocument or DamagedDocument, and its message names the
            file.
        OSError: The file system reports an error.
    """
    _check_size(path, limits)
    with path.open("rb") as file:
        kind = detect_kind(file.read(HEAD_BYTES))
    if kind is None:
        raise UnsupportedDocument(
            f"{path.name}: its content is not a picture or PDF that ocrd reads; convert it"
        )
    open_source = PdfPageSource if kind == "pdf" else PicturePageSource
    with _decoding(path, warning_log):
        source: PageSource = open_source(path, limits)
    try:
        return Document(path, kind, source=source, limits=limits, warning_log=warning_log)
    except BaseException:
        source.close()
        raise


def _check_size(path: Path, limits: DocumentLimits) -> None:
    size = path.stat().st_size
    if size == 0:
        raise EmptyDocument(f"{path.name}: the file is empty (0 bytes); save or export it again")
    if size > limits.max_bytes:
        raise OversizedDocument(
            f"{path.name}: it has {size // _MIB} MB, more than the {limits.max_bytes // _MIB} "
            "allowed; split it or raise documents.max_megabytes"
        )


@contextlib.contextmanager
def _decoding(path: Path, warning_log: LibraryWarningLog | None) -> Iterator[None]:
    """Around every call of a decoder."""
    with wrap_decoder_errors(path), _attribution(path, warning_log):
        yield


def _attribution(
    path: Path, warning_log: LibraryWarningLog | None
) -> contextlib.AbstractContextManager[None]:
    return contextlib.nullcontext() if warning_log is None else warning_log.attribute_to(path)
