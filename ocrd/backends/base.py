"""The protocol that every backend follows: documents in, page readings out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from ocrd.read_protocol import DocumentEvent, PageEvent, ReadRequest
from ocrd.types import BackendInfo

# Workers that one document may end before it fails. The last one uses only the CPU.
MAX_CRASHES = 3


class Backend(Protocol):
    """Reads documents, one request at a time. All methods but `stop` belong to one thread.

    Errors, for every backend:

    * `ModelError`, `EngineError`: it cannot get ready, and a retry does not help;
    * `BackendCrashed`: it ended or hung; the request can be repeated;
    * `BackendExhausted`: the request can be repeated, with ``in_new_worker`` set.
    """

    @property
    def info(self) -> BackendInfo | None:
        """What read or will read; None before it was ready for the first time."""

    @property
    def ready(self) -> bool:
        """Whether a request is answered without waiting for the model."""

    def start(self, *, verify_fully: bool = False, cpu_only: bool = False) -> BackendInfo:
        """Get ready, and wait for it; returns immediately when it is ready.

        Args:
            verify_fully: Hash every byte of the model first: the last start may have died over it.
            cpu_only: Use no accelerator.
        """

    def read(self, request: ReadRequest, *, cpu_only: bool = False) -> Iterator[PageEvent]:
        """Read one document; the iterator ends after its last page.

        Raises:
            ReadRefused: The document cannot be read, for a reason that lasts.
            ReadDeferred: It cannot be read now.
        """

    def read_together(self, requests: Sequence[ReadRequest]) -> Iterator[DocumentEvent]:
        """Read several pictures of one page each; every event carries the job that it is about.

        Raises:
            BatchFailed: Those that have not ended must be requested one by one.
        """

    def unload(self) -> None:
        """Give the model's memory back; the next request loads it again."""

    def stop(self) -> None:
        """End now, from any thread; a request in progress raises `BackendCrashed`."""
