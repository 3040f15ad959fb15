"""The messages between the daemon's process and the worker: JSON lines over two private pipes.

Not over standard output, because libraries print there. Each message is a frozen dataclass of its
own; the events about documents and pages are those of `ocrd.read_protocol`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO, Any, Literal

from ocrd.config import ModelConfig
from ocrd.read_protocol import (
    DocumentDeferred,
    DocumentFinished,
    DocumentOpened,
    DocumentRefused,
    PageRead,
    ReadRequest,
    TokensWritten,
)
from ocrd.serialization import Codec
from ocrd.status import EngineLoading, ModelProgress, WaitingForModel
from ocrd.types import BackendInfo, Fallback


@dataclass(frozen=True)
class WorkerSetup:
    """What the worker loads once, at its start.

    Attributes:
        model: Which model.
        device: ``auto``, ``mps``, ``cuda`` or ``cpu``.
        dtype: ``auto``, ``float32`` or ``bfloat16``.
        mode: The resolution mode.
        max_fetch_tries: Failed tries in a row to fetch the model before the worker gives up; None
            for never.
        verify_fully: Hash every byte of the model first: an earlier worker died while loading it.
        max_fallbacks: Failed pages in a row before the CPU takes over for a while.
        cool_down_s: Seconds until the device is tried again.
        batch: Pages that are decoded together; None for as many as fit into memory.
        skip_blank: Whether blank pages are skipped.
        environment: Variables that torch reads at import; those that the user has set stay.
    """

    model: ModelConfig
    device: str
    dtype: str
    mode: str
    max_fetch_tries: int | None = None
    verify_fully: bool = False
    max_fallbacks: int = 3
    cool_down_s: float = 600.0
    batch: int | None = None
    skip_blank: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ReadDocuments:
    """One document, or several pictures of one page each that are read together."""

    requests: tuple[ReadRequest, ...]


@dataclass(frozen=True)
class Preparing:
    """How far the worker is with verifying, healing and loading the model."""

    status: ModelProgress | WaitingForModel | EngineLoading
    event: Literal["preparing"] = "preparing"


@dataclass(frozen=True)
class SelfTestStarted:
    """The device reads the shipped test picture; without an end within ``timeout_s`` it hangs."""

    timeout_s: float
    event: Literal["self-test"] = "self-test"


@dataclass(frozen=True)
class WorkerReady:
    """The model is loaded and has passed the self-test."""

    backend: BackendInfo
    event: Literal["ready"] = "ready"


@dataclass(frozen=True)
class StartFailed:
    """The worker cannot start; ``kind`` tells whether the model or the engine is the reason."""

    kind: Literal["model", "engine"]
    message: str
    event: Literal["start-failed"] = "start-failed"


@dataclass(frozen=True)
class Heartbeat:
    """A sign of life every few seconds during any work; an idle worker sends none."""

    event: Literal["heartbeat"] = "heartbeat"


@dataclass(frozen=True)
class RenderingPage:
    """The next page of a document is being rendered."""

    job: str
    event: Literal["rendering"] = "rendering"


@dataclass(frozen=True)
class PageStarted:
    """An attempt to read a page begins; without tokens within ``timeout_s`` the worker hangs."""

    job: str
    page: int
    timeout_s: float
    event: Literal["page-started"] = "page-started"


@dataclass(frozen=True)
class MemoryUsage:
    """The worker's memory after a document, in bytes.

    Attributes:
        resident: Memory of the process.
        driver: Memory that the GPU's driver has given to it.
    """

    resident: int
    driver: int
    event: Literal["memory"] = "memory"

    @property
    def total(self) -> int:
        """Bytes of both."""
        return self.resident + self.driver


@dataclass(frozen=True)
class WorkerExhausted:
    """Only a new worker can read this document; this one ends."""

    job: str
    message: str
    fallbacks: tuple[Fallback, ...] = ()
    event: Literal["exhausted"] = "exhausted"


@dataclass(frozen=True)
class BatchAborted:
    """The rest of several documents must be requested one by one."""

    message: str
    event: Literal["batch-aborted"] = "batch-aborted"


@dataclass(frozen=True)
class LogRecord:
    """A log event of the worker, for the log that the daemon writes."""

    level: str
    message: str
    fields: Mapping[str, Any]
    event: Literal["log"] = "log"


WorkerMessage = (
    Preparing
    | SelfTestStarted
    | WorkerReady
    | StartFailed
    | Heartbeat
    | RenderingPage
    | PageStarted
    | DocumentOpened
    | TokensWritten
    | PageRead
    | MemoryUsage
    | DocumentFinished
    | DocumentRefused
    | DocumentDeferred
    | WorkerExhausted
    | BatchAborted
    | LogRecord
)
# The longest line that is read, in bytes. The text of no page comes near it.
MAX_LINE_BYTES = 64 * 1024 * 1024

_SETUP: Codec[WorkerSetup] = Codec(WorkerSetup)
_REQUESTS: Codec[ReadDocuments] = Codec(ReadDocuments)
_MESSAGES: Codec[WorkerMessage] = Codec(WorkerMessage, tag="event")


def send_setup(pipe: IO[bytes], setup: WorkerSetup) -> None:
    """Send the first line of all. Raises OSError when the worker has ended."""
    _send(pipe, _SETUP.encode(setup))


def receive_setup(pipe: IO[bytes]) -> WorkerSetup:
    """Read the first line of all."""
    return _SETUP.decode(pipe.readline())


def send_requests(pipe: IO[bytes], requests: ReadDocuments) -> None:
    """Ask for documents. Raises OSError when the worker has ended."""
    _send(pipe, _REQUESTS.encode(requests))


def decode_requests(line: bytes) -> ReadDocuments:
    """The documents that a line asks for."""
    return _REQUESTS.decode(line)


def send_message(pipe: IO[bytes], message: WorkerMessage) -> None:
    """Send one message to the daemon's process. Raises OSError when that has ended."""
    _send(pipe, _MESSAGES.encode(message))


def decode_message(line: bytes) -> WorkerMessage:
    """The message of a line.

    Raises:
        ValueError: The line is not a message.
    """
    return _MESSAGES.decode(line)


def _send(pipe: IO[bytes], text: str) -> None:
    pipe.write(text.encode("ascii") + b"\n")
    pipe.flush()
