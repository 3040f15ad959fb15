"""A bell at the daemon's door: a command that put something into the journal rings it.

A named pipe, so that nobody polls and nobody connects: a byte in it wakes the daemon, and the
journal says why. A ring that is lost costs a minute, until the next heartbeat.
"""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import structlog

FILE = "doorbell"


def notify_daemon(state: Path) -> bool:
    """Wake the daemon of this state folder; False when none listens."""
    try:
        bell = os.open(state / FILE, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        if not stat.S_ISFIFO(os.fstat(bell).st_mode):
            return False
        os.write(bell, b"!")
    except BlockingIOError:
        pass  # full of rings that are not heard yet
    except OSError:
        return False
    finally:
        os.close(bell)
    return True


class WakeupListener:
    """Calls ``heard`` from a thread of its own, once for any number of rings at a time."""

    def __init__(self, state: Path, heard: Callable[[], None]) -> None:
        self._path = state / FILE
        self._heard = heard
        self._bell: int | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="doorbell", daemon=True)

    def start(self) -> None:
        """Listen; where the disk has no named pipes, the heartbeat has to do."""
        try:
            if os.path.lexists(self._path) and not stat.S_ISFIFO(self._path.lstat().st_mode):
                self._path.unlink()
            with contextlib.suppress(FileExistsError):
                os.mkfifo(self._path, 0o600)
            # For writing too, though nothing is written: with no writer left, reading would not
            # wait any more.
            self._bell = os.open(self._path, os.O_RDWR)
        except OSError as error:
            structlog.get_logger(component="daemon").warning(
                "commands cannot ring", error=str(error)
            )
            return
        self._thread.start()

    def stop(self) -> None:
        if self._bell is None:
            return
        self._ended.set()
        notify_daemon(self._path.parent)
        self._thread.join(timeout=1)
        if not self._thread.is_alive():
            os.close(self._bell)
        self._bell = None

    def _listen(self) -> None:
        assert self._bell is not None
        while True:
            os.read(self._bell, 4096)
            if self._ended.is_set():
                return
            self._heard()
