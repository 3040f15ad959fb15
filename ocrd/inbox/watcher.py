"""Hints that something changed below one folder.

They may be late, doubled, wrong or missing: only a look is true.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import structlog
from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver
from watchdog.observers.polling import PollingObserver

_log = structlog.get_logger(__name__)

# How Linux says that inotify has no more watches or instances to give.
_LIMITS = frozenset({errno.ENOSPC, errno.EMFILE, errno.ENFILE})

# Our own worker causes these; they change nothing.
_READS = frozenset({"opened", "closed_no_write"})

# What matters about a folder. It is also "modified" with each file in it, and that file has its own
# event.
_FOLDER_NEWS = frozenset({"created", "moved", "deleted"})


def _polling() -> BaseObserver:
    return PollingObserver(timeout=5.0)


class _Hints(FileSystemEventHandler):
    """Collects paths and nothing else.

    An exception here ends watchdog's thread (watchdog 427, 793).
    """

    def __init__(self, wake: threading.Event) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        self._paths: set[Path] = set()
        self.attended: frozenset[Path] = frozenset()
        self.failures = 0

    def dispatch(self, event: FileSystemEvent) -> None:
        try:
            if event.event_type in _READS or (
                event.is_directory and event.event_type not in _FOLDER_NEWS
            ):
                return
            path = Path(os.fsdecode(event.dest_path or event.src_path))
            with self._lock:
                self._paths.add(path)
            if path not in self.attended:
                self._wake.set()
        except Exception:
            self.failures += 1
            self._wake.set()

    def drain(self) -> set[Path]:
        with self._lock:
            paths = self._paths
            self._paths = set()
        return paths


class FolderWatcher:
    """A watchdog observer for one root, made anew whenever it is no longer whole."""

    def __init__(
        self,
        root: Path,
        *,
        recursive: bool,
        wake: threading.Event,
        observer: Callable[[], BaseObserver] = Observer,
        fallback: Callable[[], BaseObserver] = _polling,
    ) -> None:
        self._root = root
        self._recursive = recursive
        self._make = observer
        self._fallback = fallback
        self._hints = _Hints(wake)
        self._observer: BaseObserver | None = None
        self._identity: tuple[int, int] | None = None
        # The root without symbolic links, as the hints spell it.
        self.watched = root

    @property
    def failures(self) -> int:
        """How many events the handler could not make sense of."""
        return self._hints.failures

    def drain(self) -> set[Path]:
        """The hints since the last call."""
        return self._hints.drain()

    def attend(self, paths: frozenset[Path]) -> None:
        """Name the files that will be looked at soon anyway: hints about them wake nobody.

        A file that grows for minutes sends hundreds of events a second.
        """
        self._hints.attended = paths

    def healthy(self) -> bool:
        """Whether hints can still come.

        Every thread lives, and the root is the folder that was there at the start.
        """
        observer = self._observer
        if observer is None or not observer.is_alive() or not observer.emitters:
            return False
        # An emitter can die while its observer lives on and says nothing (cocoindex 2227).
        if not all(emitter.is_alive() for emitter in tuple(observer.emitters)):
            return False
        reader = getattr(
            observer, "_inotify_fd", None
        )  # watchdog 7: one more thread feeds all emitters
        if isinstance(reader, threading.Thread) and not reader.is_alive():
            return False
        return self._identity == _identity(self._root)

    def rebuild(self) -> None:
        """Watch with a new observer.

        Adding a watch again fails with "already scheduled" (watchdog 765).

        Raises OSError when the root is not there; it is never made here, as it may be an unmounted
        volume.
        """
        self.stop()
        identity = _identity(self._root)
        if identity is None:
            raise FileNotFoundError(errno.ENOENT, "the inbox folder is not there", str(self._root))
        self.watched = Path(os.path.realpath(self._root))
        try:
            self._observer = self._started(self._make)
        except OSError as error:
            if error.errno not in _LIMITS:
                raise
            _log.warning(
                "inbox_polled",
                root=str(self._root),
                reason=f"no file system events to be had: {error}",
            )
            self._observer = self._started(self._fallback)
        self._identity = identity

    def _started(self, make: Callable[[], BaseObserver]) -> BaseObserver:
        observer = make()
        try:
            observer.schedule(self._hints, str(self.watched), recursive=self._recursive)
            observer.start()
        except BaseException:
            _close(observer, 1.0)
            raise
        return observer

    def stop(self, limit: float = 2.0) -> None:
        """End the observer, and wait no longer than ``limit`` seconds for it."""
        observer = self._observer
        self._observer = None
        self._identity = None
        if observer is not None:
            _close(observer, limit)


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        status = folder.stat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISDIR(status.st_mode) else None


def _close(observer: BaseObserver, limit: float) -> None:
    """Stop an observer from a thread of its own: watchdog joins its threads without a limit."""

    def close() -> None:
        try:
            observer.stop()
            if observer.ident is not None:
                observer.join()
        except Exception as error:  # it is thrown away in any case
            _log.debug("observer_stop_failed", error=str(error))

    thread = threading.Thread(target=close, name="inbox-watch-close", daemon=True)
    thread.start()
    thread.join(limit)
    if thread.is_alive():
        _log.warning("observer_left_behind", seconds=limit)
