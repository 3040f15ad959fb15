"""One worker process, from its start to its end, seen from the daemon's process.

A subprocess, never a fork: FSEvents and Metal do not survive a fork.
"""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import IO

import structlog

from ocrd.errors import BackendCrashed
from ocrd.read_protocol import ReadRequest
from ocrd.worker.messages import (
    MAX_LINE_BYTES,
    Heartbeat,
    LogRecord,
    ReadDocuments,
    WorkerMessage,
    WorkerSetup,
    decode_message,
    send_requests,
    send_setup,
)

# Seconds without any message after which a worker counts as hung. It sends a heartbeat every 5 s
# during any work.
HEARTBEAT_TIMEOUT_S = 60.0
# Seconds that a worker has to end after its pipe is closed.
EXIT_TIMEOUT_S = 0.5


def worker_command(module: str, *, request_fd: int, message_fd: int) -> list[str]:
    """The command line of a worker that reads requests and writes messages on these descriptors."""
    # -P: a queue.py or torch/ in the current folder must not replace a module.
    return [sys.executable, "-P", "-m", module, str(request_fd), str(message_fd)]


class WorkerProcess:
    """A running worker. All methods but `kill` belong to one thread."""

    def __init__(self, setup: WorkerSetup, *, module: str, on_end: Callable[[], None]) -> None:
        """Start the process.

        Args:
            setup: What it loads.
            module: The Python module that runs as the worker.
            on_end: Called from another thread when the process has ended.

        Raises:
            OSError: The process cannot be started.
        """
        self._log = structlog.get_logger(component="worker")
        self._messages: queue.Queue[WorkerMessage | None] = queue.Queue()
        self._hung_up = threading.Event()
        self._on_end = on_end
        request_fd, self._requests, message_pipe, message_fd = _pipes()
        try:
            self._process = subprocess.Popen(
                worker_command(module, request_fd=request_fd, message_fd=message_fd),
                pass_fds=(request_fd, message_fd),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # libraries print there
                stderr=None,
                env={**os.environ, "TOKENIZERS_PARALLELISM": "false"},
            )
        except OSError:
            self._requests.close()
            message_pipe.close()
            raise
        finally:
            os.close(request_fd)
            os.close(message_fd)
        listener = threading.Thread(
            target=self._listen, args=(message_pipe,), name="worker-messages", daemon=True
        )
        listener.start()
        try:
            send_setup(self._requests, setup)
        except OSError:
            self._log.debug("the worker ended before it took its setup")

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process runs and its pipe is open."""
        return self._process.poll() is None and not self._hung_up.is_set()

    def request(self, requests: Sequence[ReadRequest]) -> None:
        """Ask for documents.

        Raises:
            BackendCrashed: The worker has ended; it is closed.
        """
        try:
            send_requests(self._requests, ReadDocuments(tuple(requests)))
        except OSError as error:
            self.close()
            raise BackendCrashed(f"the worker ended before it took the job ({error})") from error

    def receive(self, deadline: float, doing: str) -> WorkerMessage:
        """The next message; log records and heartbeats are handled here.

        Args:
            deadline: When the message must be there, on the monotonic clock.
            doing: What the worker is doing, for the error message.

        Raises:
            BackendCrashed: The worker ended, or was ended because it gave no sign of life.
        """
        heard = time.monotonic()
        while True:
            limit = min(deadline, heard + HEARTBEAT_TIMEOUT_S)
            try:
                message = self._messages.get(timeout=max(0.0, limit - time.monotonic()))
            except queue.Empty:
                self.close()
                raise BackendCrashed(
                    f"the worker was ended: it gave no sign of life while {doing}"
                ) from None
            heard = time.monotonic()
            match message:
                case None:
                    raise BackendCrashed(
                        f"the worker died while {doing} ({describe_exit(self.close())})"
                    )
                case Heartbeat():
                    continue
                case LogRecord():
                    getattr(self._log, message.level)(message.message, **message.fields)
                case _:
                    return message

    def kill(self) -> None:
        """End the process now, from any thread; a `receive` in progress raises BackendCrashed."""
        self._process.kill()
        self._messages.put(None)

    def close(self) -> int:
        """Close the pipe, which ends an idle worker, or kill it; returns its exit code."""
        try:
            self._requests.close()
        except OSError:
            self._log.debug("the worker's pipe was closed already")
        try:
            return self._process.wait(timeout=EXIT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def _listen(self, pipe: IO[bytes]) -> None:
        with pipe:
            while line := pipe.readline(MAX_LINE_BYTES):
                if not line.endswith(b"\n"):
                    break  # it ended in the middle of a line, or never ends the line
                try:
                    self._messages.put(decode_message(line))
                except ValueError as error:
                    self._log.warning(
                        "the worker sent an invalid message",
                        error=str(error),
                        line=line[:200].decode("ascii", "replace"),
                    )
        self._process.kill()  # nothing that it may still send would be read
        self._hung_up.set()  # the pipe is closed before the system knows that the process ended
        self._messages.put(None)
        self._on_end()


def describe_exit(code: int) -> str:
    """``signal 9`` or ``exit code 7``."""
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _pipes() -> tuple[int, IO[bytes], IO[bytes], int]:
    """The worker's request descriptor, our ends of both pipes, the worker's message descriptor."""
    request_fd, our_requests = os.pipe()
    our_messages, message_fd = os.pipe()
    return request_fd, os.fdopen(our_requests, "wb"), os.fdopen(our_messages, "rb"), message_fd
