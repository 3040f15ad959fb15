"""Reads documents with the loaded engine, and reports every step to the daemon."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import psutil
import structlog
from PIL import Image

from ocrd.documents.document import Document, open_document
from ocrd.documents.library_warnings import LibraryWarningLog
from ocrd.documents.page import DocumentLimits
from ocrd.errors import DocumentError, FreshWorkerNeeded, OcrdError, RefusalReason, UsageError
from ocrd.read_protocol import (
    DocumentDeferred,
    DocumentFinished,
    DocumentOpened,
    DocumentRefused,
    PageRead,
    ReadRequest,
    TokensWritten,
)
from ocrd.serialization import encode_reading
from ocrd.types import PageReading
from ocrd.worker.messages import (
    BatchAborted,
    MemoryUsage,
    PageStarted,
    RenderingPage,
    WorkerExhausted,
    WorkerMessage,
)

if TYPE_CHECKING:
    from ocrd.engine.runtime.engine_runner import EngineRunner

TOKENS_BETWEEN_REPORTS = 16

Send = Callable[[WorkerMessage], None]


class DocumentReader:
    """Reads what is requested; whatever a document does, it is answered."""

    def __init__(
        self, runner: EngineRunner, send: Send, *, warning_log: LibraryWarningLog | None = None
    ) -> None:
        self._runner = runner
        self._send = send
        self._warning_log = warning_log
        self._log = structlog.get_logger(component="worker")

    def read(self, request: ReadRequest) -> None:
        """Read one document. Ends the process when only a new worker can read it."""
        try:
            self._read_pages(request)
        except FreshWorkerNeeded as error:
            self._send(WorkerExhausted(request.job, str(error), error.fallbacks))
            raise SystemExit from None
        except Exception as error:
            self._send(self._answer_to(error, request))

    def read_together(self, requests: Sequence[ReadRequest]) -> None:
        """Read pictures of one page each together.

        The error of one picture concerns that picture; any other error ends the batch, and each
        picture is then requested alone.
        """
        reporter = ProgressReporter(self._runner, self._send)

        def pages() -> Iterator[tuple[int, Image.Image]]:
            for number, request in enumerate(requests):
                image = self._only_page(request)
                if image is not None:
                    reporter.expect(number, request.job, page=0, image=image)
                    yield number, image

        last: ReadRequest | None = None
        try:
            for reading in reporter.read(pages(), requests[0]):
                if last is not None:
                    self._send(DocumentFinished(last.job))
                last = requests[reading.index]
                self._send(PageRead(last.job, encode_reading(_as_first_page(reading))))
            if last is not None:
                # Measured after the batch: its own memory does not stay with the worker.
                self._finish(last)
        except FreshWorkerNeeded as error:
            self._send(BatchAborted(str(error)))
            raise SystemExit from None
        except Exception as error:
            # Which picture is the reason shows when each is read alone.
            self._log.warning("pictures are read one by one", stack=traceback.format_exc())
            self._send(BatchAborted(f"{type(error).__name__}: {error}"))

    def _read_pages(self, request: ReadRequest) -> None:
        with self._open(request) as document:
            self._send(DocumentOpened(request.job, document.page_count))
            reporter = ProgressReporter(self._runner, self._send)

            def pages() -> Iterator[tuple[int, Image.Image]]:
                source = document.pages(request.first_page)
                while True:
                    # Rendering has its own time limit, whatever else is being decoded.
                    self._send(RenderingPage(request.job))
                    page = next(source, None)
                    if page is None:
                        return
                    reporter.expect(page.index, request.job, page=page.index, image=page.image)
                    yield page.index, page.image

            for reading in reporter.read(pages(), request):
                self._send(PageRead(request.job, encode_reading(reading)))
        self._finish(request)

    def _only_page(self, request: ReadRequest) -> Image.Image | None:
        """The picture; None when it cannot be read, which has been answered then."""
        try:
            with self._open(request) as document:
                if document.page_count > 1:
                    # Its name is a picture's with one page; its content is not. Read alone, it
                    # loses no page.
                    raise ValueError(f"{request.path.name} has {document.page_count} pages")
                self._send(DocumentOpened(request.job, document.page_count))
                return document.page(0).image
        except (DocumentError, OSError) as error:
            self._send(self._answer_to(error, request))
            return None

    def _open(self, request: ReadRequest) -> Document:
        return open_document(request.path, _limits(request), warning_log=self._warning_log)

    def _finish(self, request: ReadRequest) -> None:
        memory = psutil.Process().memory_info().rss
        self._send(MemoryUsage(memory, self._runner.driver_bytes()))
        self._send(DocumentFinished(request.job))

    def _answer_to(
        self, error: Exception, request: ReadRequest
    ) -> DocumentRefused | DocumentDeferred:
        match error:
            case DocumentError():
                return DocumentRefused(request.job, error.reason, str(error))
            case UsageError():
                return DocumentRefused(request.job, RefusalReason.USAGE, str(error))
            case OcrdError():
                return DocumentRefused(request.job, RefusalReason.ENGINE, str(error))
            case OSError():
                message = f"{request.path.name}: {error.strerror or error}"
                return DocumentDeferred(request.job, message)
            case _:  # one page must not end the worker; the log keeps the whole stack trace
                stack = "".join(traceback.format_exception(error))
                self._log.error("reading failed", job=request.job, stack=stack)
                message = (
                    f"{request.path.name}: the engine failed ({type(error).__name__}: {error});"
                    " the log has the stack trace"
                )
                return DocumentRefused(request.job, RefusalReason.ENGINE, message)


@dataclass(frozen=True)
class _ExpectedPage:
    job: str
    page: int
    # Seconds until its first tokens are there, or the device hangs.
    timeout_s: float


@dataclass
class ProgressReporter:
    """Reports pages by job and number; the engine knows them by a key."""

    runner: EngineRunner
    send: Send
    _expected: dict[int, _ExpectedPage] = field(default_factory=dict)

    def expect(self, key: int, job: str, *, page: int, image: Image.Image) -> None:
        """Announce the page that the engine will know as ``key``."""
        timeout_s = self.runner.timeout_s(image, tokens=TOKENS_BETWEEN_REPORTS)
        self._expected[key] = _ExpectedPage(job, page, timeout_s)

    def read(
        self, pages: Iterator[tuple[int, Image.Image]], request: ReadRequest
    ) -> Iterator[PageReading]:
        """Read the pages as ``request`` asks; their readings carry the keys as index."""
        from ocrd.engine.decode import DecodeLimits
        from ocrd.engine.runtime.read_options import ReadOptions

        options = ReadOptions(
            task=request.task,
            limits=DecodeLimits(
                max_new_tokens=request.max_new_tokens, deadline_s=request.page_deadline_s
            ),
            progress=self,
            in_new_worker=request.in_new_worker,
            page_by_page=request.page_by_page,
        )
        return self.runner.read_pages(pages, options)

    def tokens(self, index: int, count: int) -> None:
        """See `PageProgress`."""
        if count % TOKENS_BETWEEN_REPORTS == 0:
            expected = self._expected[index]
            self.send(TokensWritten(expected.job, expected.page, count))

    def attempt(self, index: int) -> None:
        """See `PageProgress`."""
        expected = self._expected[index]
        self.send(PageStarted(expected.job, expected.page, expected.timeout_s))


def _limits(request: ReadRequest) -> DocumentLimits:
    return DocumentLimits(
        max_bytes=request.max_bytes, max_pixels=request.max_pixels, dpi=request.dpi
    )


def _as_first_page(reading: PageReading) -> PageReading:
    """The reading of a picture's only page, whatever its key was."""
    blocks = tuple(replace(block, page=0) for block in reading.blocks)
    fallbacks = tuple(replace(fallback, page=0) for fallback in reading.fallbacks)
    return replace(reading, index=0, blocks=blocks, fallbacks=fallbacks)
