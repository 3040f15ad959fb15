"""One request to a worker, from question to last answer: which pages are missing, what is late."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from ocrd.errors import BackendCrashed, BackendExhausted, BatchFailed
from ocrd.read_protocol import (
    DocumentDeferred,
    DocumentEvent,
    DocumentFinished,
    DocumentOpened,
    DocumentRefused,
    PageRead,
    ReadRequest,
    TokensWritten,
)
from ocrd.worker.messages import (
    BatchAborted,
    MemoryUsage,
    PageStarted,
    RenderingPage,
    SelfTestStarted,
    WorkerExhausted,
    WorkerMessage,
)
from ocrd.worker.process import WorkerProcess

# Seconds beyond a step's own time before a worker counts as hung: the engine ends a page itself.
GRACE_S = 60.0
# Seconds for opening a document or rendering its next page.
OPENING_TIMEOUT_S = 300.0
# Seconds for a handful of tokens, on any machine.
TOKENS_TIMEOUT_S = 60.0


class Conversation:
    """Reads documents with one worker; after the last event the worker is idle again."""

    def __init__(self, worker: WorkerProcess, requests: Sequence[ReadRequest]) -> None:
        self._worker = worker
        self._requests = requests
        self._first_pages = {request.job: request.first_page for request in requests}
        # Pages that have not come yet, by job, of the documents that have not ended.
        self._missing = dict.fromkeys(self._first_pages, 0)
        self._timeout_s = OPENING_TIMEOUT_S
        # The worker's memory after the last document; None while that has not ended.
        self.memory: MemoryUsage | None = None

    @property
    def ended(self) -> bool:
        """Whether every document has ended."""
        return not self._missing

    def events(self) -> Iterator[DocumentEvent]:
        """Request the documents and yield what the worker reports about them.

        Raises:
            BackendCrashed: The worker ended, hung, or left pages out.
            BackendExhausted: Only a new worker can read on.
            BatchFailed: What has not ended must be requested one by one.
        """
        self._worker.request(self._requests)
        if len(self._requests) == 1:
            doing = f"reading {self._requests[0].path.name}"
        else:
            doing = f"reading {len(self._requests)} pictures together"
        while self._missing:
            message = self._worker.receive(time.monotonic() + self._timeout_s + GRACE_S, doing)
            job = getattr(message, "job", None)
            if job is None or job in self._missing:
                event = self._follow(message)
                if event is not None:
                    yield event

    def _follow(self, message: WorkerMessage) -> DocumentEvent | None:
        """Keep the accounts; returns the event that the caller must know."""
        match message:
            case DocumentOpened(job, page_count):
                self._missing[job] = page_count - self._first_pages[job]
                self._timeout_s = OPENING_TIMEOUT_S
                return message
            case RenderingPage():
                self._timeout_s = OPENING_TIMEOUT_S
            # The self-test: a device is tried again after a cool-down.
            case PageStarted(timeout_s=timeout_s) | SelfTestStarted(timeout_s=timeout_s):
                self._timeout_s = timeout_s
            case TokensWritten():
                self._timeout_s = TOKENS_TIMEOUT_S
                return message
            case PageRead(job):
                self._missing[job] -= 1
                self._timeout_s = OPENING_TIMEOUT_S
                return message
            case MemoryUsage():
                self.memory = message
            case DocumentFinished(job):
                if self._missing[job] > 0:
                    raise BackendCrashed(
                        "the worker reported the end of a document, but"
                        f" {self._missing[job]} pages are missing"
                    )
                del self._missing[job]
                return message
            case DocumentRefused(job) | DocumentDeferred(job):
                del self._missing[job]
                return message
            case WorkerExhausted():
                raise BackendExhausted(message.message, message.fallbacks)
            case BatchAborted():
                self._missing.clear()
                raise BatchFailed(message.message)
            case _:
                raise BackendCrashed(f"the worker sent an unexpected message: {message.event}")
        return None
