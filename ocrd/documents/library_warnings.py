"""Log what libraries warn about while a document is opened or decoded, with the file's name.

Otherwise they print it to the terminal, without the name: Pillow issues Python warnings, pypdfium2
logs (its advice about XFA forms), and libtiff prints to standard error.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import structlog

from ocrd.documents.stderr_capture import StderrCapture, take_interrupted_captures

_log = structlog.get_logger(component="documents")

# A damaged fax can have an error in every line.
MAX_MESSAGES_PER_FILE = 20
MAX_MESSAGE_LENGTH = 500

# Marks of Python's own reports: not a library's warning, but a failure of another thread.
_FAILURE_MARKS = ("Traceback (most recent call last)", "Fatal Python error")


class LibraryWarningLog:
    """Collects the warnings of libraries, and logs each one once per file.

    It is made for a process that decodes documents in one thread: while a document is decoded, the
    standard error and the filters of Python warnings are those of the whole process.
    """

    def __init__(self, folder: Path) -> None:
        """Prepare to capture, and log the output of earlier processes that died while decoding.

        Args:
            folder: Where standard error is captured. If that is impossible (a read-only folder, no
                standard error), only Python warnings and log records are collected.
        """
        self._stderr: StderrCapture | None = None
        with contextlib.suppress(OSError):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for capture in take_interrupted_captures(folder):
                _log.warning(
                    "a process died while it decoded a file",
                    file=capture.document,
                    stderr=capture.output,
                )
            self._stderr = StderrCapture(folder)
        self._path: Path | None = None
        self._logged: set[str] = set()

    @contextlib.contextmanager
    def attribute_to(self, path: Path) -> Iterator[None]:
        """Log the warnings of libraries in the ``with`` block as warnings about ``path``."""
        messages: list[str] = []

        def add_lines(output: str) -> None:
            if any(mark in output for mark in _FAILURE_MARKS):
                sys.stderr.write(output)
            messages.extend(output.splitlines())

        redirection = (
            contextlib.nullcontext()
            if self._stderr is None
            else self._stderr.redirect(str(path), add_lines)
        )
        try:
            with redirection, _collect_log_records(messages), _collect_warnings(messages):
                yield
        finally:
            self._log_messages(path, messages)

    def _log_messages(self, path: Path, messages: list[str]) -> None:
        if path != self._path:
            self._path = path
            self._logged = set()
        for message in messages:
            text = " ".join(message.split())[:MAX_MESSAGE_LENGTH]
            is_new = text and text not in self._logged
            if is_new and len(self._logged) < MAX_MESSAGES_PER_FILE:
                self._logged.add(text)
                # Not a warning of ours: commands print those to the terminal.
                _log.info("a library warned", file=str(path), library_message=text)


@contextlib.contextmanager
def _collect_warnings(messages: list[str]) -> Iterator[None]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        # For the library's programmers, not about the file. Python ignores them by default too.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        try:
            yield
        finally:
            messages.extend(str(warning.message) for warning in caught)


@contextlib.contextmanager
def _collect_log_records(messages: list[str]) -> Iterator[None]:
    handler = _RecordCollector(messages)
    root = logging.getLogger()
    level = root.level
    # A root logger that lets only errors pass would hide the warnings of libraries.
    root.setLevel(min(level, logging.WARNING))
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


class _RecordCollector(logging.Handler):
    """Collects the messages of this thread; those of other threads are printed as usual."""

    def __init__(self, messages: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._messages = messages
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread != self._thread:
            if logging.lastResort is not None:
                logging.lastResort.handle(record)
            return
        try:
            self._messages.append(record.getMessage())
        except Exception:  # wrong arguments for the format
            self.handleError(record)
