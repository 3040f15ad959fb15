"""Capture what C libraries print to standard error while they decode a file.

libtiff prints its errors straight to file descriptor 2, where Python does not see them. So during a
decoder call, descriptor 2 leads to a file of our own.

Nothing is lost when the process dies in such a call (a crash of the decoder, a failed assertion, a
kill): the file stays in its folder, with the name of the document in its first line, and the next
process with the same parent finds it. A file is locked as long as its process lives. Other
threads may print during a call too; that ends in the same file.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

_STDERR = 2

# More output than this of one call is not read.
MAX_OUTPUT_BYTES = 64 * 1024

# The parent is in the name, so that a command does not report what the daemon's worker printed.
_NAME = re.compile(r"worker-(?P<parent>[0-9]+)-[0-9]+\.stderr")


@dataclass(frozen=True)
class InterruptedCapture:
    """What was printed while ``document`` was decoded by a process that died."""

    document: str
    output: str


class StderrCapture:
    """Redirects file descriptor 2 of this process. Use it from one thread at a time."""

    def __init__(self, folder: Path) -> None:
        """Create the file in ``folder``.

        Raises:
            OSError: The file cannot be created, or the process has no standard error.
        """
        if sys.stderr is None:  # descriptor 2 may be any other file then
            raise OSError(errno.EBADF, "the process has no standard error")
        path = folder / f"worker-{os.getppid()}-{os.getpid()}.stderr"
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            # Not awaited: in another container a process may have the same id and this folder.
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(self._file, 0)
        except OSError:
            os.close(self._file)
            raise

    @contextlib.contextmanager
    def redirect(self, document: str, on_output: Callable[[str], None]) -> Iterator[None]:
        """Capture what this process prints to standard error in the ``with`` block.

        Args:
            document: The path of the document that is decoded, noted in case the process dies.
            on_output: Called with what was printed, also when the block raises. Standard error is
                the usual one again then.
        """
        header = json.dumps({"document": document}).encode() + b"\n"
        _flush_python_stderr()
        usual_stderr = self._begin(header)
        try:
            yield
        finally:
            _flush_python_stderr()
            if usual_stderr is not None:
                os.dup2(usual_stderr, _STDERR)
                os.close(usual_stderr)
                # An error here must not replace that of the block.
                with contextlib.suppress(OSError, ValueError):
                    on_output(self._take_output(header))

    def _begin(self, header: bytes) -> int | None:
        """A descriptor of the usual standard error; None when it stays in use.

        On a full disk, for example.
        """
        try:
            os.ftruncate(self._file, 0)
            os.write(self._file, header)
            usual_stderr = os.dup(_STDERR)
        except OSError:
            return None
        os.dup2(self._file, _STDERR)
        return usual_stderr

    def _take_output(self, header: bytes) -> str:
        data = os.pread(self._file, MAX_OUTPUT_BYTES, len(header))
        os.ftruncate(self._file, 0)
        return data.decode("utf-8", "backslashreplace")


def take_interrupted_captures(folder: Path) -> list[InterruptedCapture]:
    """Return and remove the output of processes that died while they decoded a document.

    Only of this process's children and siblings, and of processes whose parent has ended.
    """
    found = []
    for path in sorted(folder.glob("worker-*.stderr")):
        name = _NAME.fullmatch(path.name)
        if name is None or not _may_take_from_children_of(int(name["parent"])):
            continue
        with contextlib.suppress(OSError), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            data = file.read(MAX_OUTPUT_BYTES)
            path.unlink()
            found += _parse(data)
    return found


def _parse(data: bytes) -> list[InterruptedCapture]:
    header, _, output = data.partition(b"\n")
    if not output.strip():
        return []
    try:
        document = json.loads(header)["document"]
    except (ValueError, KeyError, TypeError):
        return []
    return [InterruptedCapture(str(document), output.decode("utf-8", "backslashreplace"))]


def _may_take_from_children_of(pid: int) -> bool:
    if pid in (os.getpid(), os.getppid()):
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:  # another user's
        return False
    return False


def _flush_python_stderr() -> None:
    if sys.stderr is not None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()
