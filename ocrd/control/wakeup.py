"""Wakes the daemon after a command has put something into the journal.

A named pipe, so that nothing polls and nothing connects: a byte in it wakes the daemon, and the
journal holds the reason. A lost wake-up costs a minute, until the next heartbeat.
"""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import structlog

FILE_NAME = "wakeup"
# Seconds that the thread has to end.
END_TIMEOUT_S = 1.0


def notify_daemon(state: Path) -> bool:
    """Wake the daemon of this state folder; False when none listens."""
    try:
        pipe = os.open(state / FILE_NAME, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        if not stat.S_ISFIFO(os.fstat(pipe).st_mode):
            return False
        os.write(pipe, b"!")
    except BlockingIOError:
        pass  # full of wake-ups that the daemon has not read yet
    except OSError:
        return False
    finally:
        os.close(pipe)
    return True


class WakeupListener:
    """Calls ``on_wakeup`` from a thread of its own, once for any number of wake-ups together."""

    def __init__(self, state: Path, on_wakeup: Callable[[], None]) -> None:
        self._path = state / FILE_NAME
        self._on_wakeup = on_wakeup
        self._pipe: int | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="wakeup", daemon=True)

    def start(self) -> None:
        """Listen; on a disk without named pipes only the heartbeat wakes the daemon."""
        try:
            if os.path.lexists(self._path) and not stat.S_ISFIFO(self._path.lstat().st_mode):
                self._path.unlink()
            with contextlib.suppress(FileExistsError):
                os.mkfifo(self._path, 0o600)
            # For writing too, though nothing is written: without any writer, a read would not wait.
            self._pipe = os.open(self._path, os.O_RDWR)
        except OSError as error:
            log = structlog.get_logger(component="daemon")
            log.warning("commands cannot wake the daemon", error=str(error))
            return
        self._thread.start()

    def stop(self) -> None:
        """Stop listening."""
        if self._pipe is None:
            return
        self._ended.set()
        notify_daemon(self._path.parent)
        self._thread.join(timeout=END_TIMEOUT_S)
        if not self._thread.is_alive():
            os.close(self._pipe)
        self._pipe = None

    def _listen(self) -> None:
        assert self._pipe is not None
        while True:
            os.read(self._pipe, 4096)
            if self._ended.is_set():
                return
            self._on_wakeup()
