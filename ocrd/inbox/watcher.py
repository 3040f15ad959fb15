"""Watch one folder for changes.

A change is only a hint: hints can be late, duplicated, wrong or missing.
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

_log = structlog.get_logger(component="inbox")

# What Linux reports when inotify has no more watches or instances.
_NO_MORE_WATCHES = frozenset({errno.ENOSPC, errno.EMFILE, errno.ENFILE})

# Our own worker causes these; nothing changes.
_READ_EVENTS = frozenset({"opened", "closed_no_write"})

# The events of folders that matter. A folder is also "modified" with each file in it, but that file
# has an event of its own.
_FOLDER_EVENTS = frozenset({"created", "moved", "deleted"})

_POLLING_INTERVAL_S = 5.0
_STOP_TIMEOUT_S = 2.0


def _polling_observer() -> BaseObserver:
    return PollingObserver(timeout=_POLLING_INTERVAL_S)


class _HintCollector(FileSystemEventHandler):
    """Collects paths. It never raises: an exception ends watchdog's thread (watchdog 427, 793)."""

    def __init__(self, wake: threading.Event) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        self._paths: set[Path] = set()
        self.muted: frozenset[Path] = frozenset()
        self.bad_events = 0

    def dispatch(self, event: FileSystemEvent) -> None:
        try:
            if event.event_type in _READ_EVENTS:
                return
            if event.is_directory and event.event_type not in _FOLDER_EVENTS:
                return
            path = Path(os.fsdecode(event.dest_path or event.src_path))
            with self._lock:
                self._paths.add(path)
            if path not in self.muted:
                self._wake.set()
        except Exception:
            self.bad_events += 1
            self._wake.set()

    def drain(self) -> set[Path]:
        with self._lock:
            paths = self._paths
            self._paths = set()
        return paths


class FolderWatcher:
    """A watchdog observer for one folder, replaced whenever a part of it has died."""

    def __init__(
        self,
        root: Path,
        *,
        recursive: bool,
        wake: threading.Event,
        make_observer: Callable[[], BaseObserver] = Observer,
        make_fallback: Callable[[], BaseObserver] = _polling_observer,
    ) -> None:
        """Prepare to watch; `restart` begins.

        Args:
            root: The folder.
            recursive: Whether to watch the folders in it.
            wake: Set with each hint, except for muted files.
            make_observer: Makes the observer.
            make_fallback: Makes the one that is used when the system has no more watches.
        """
        self._root = root
        self._recursive = recursive
        self._make_observer = make_observer
        self._make_fallback = make_fallback
        self._hints = _HintCollector(wake)
        self._observer: BaseObserver | None = None
        self._identity: tuple[int, int] | None = None
        # The root without symbolic links, as the hints spell it.
        self.real_root = root

    @property
    def bad_events(self) -> int:
        """The number of events that could not be understood."""
        return self._hints.bad_events

    def drain(self) -> set[Path]:
        """Return the hints since the last call."""
        return self._hints.drain()

    def mute(self, paths: frozenset[Path]) -> None:
        """Set the files whose hints do not wake the caller, because it checks them soon anyway.

        A file that grows for minutes sends hundreds of events a second.
        """
        self._hints.muted = paths

    def is_healthy(self) -> bool:
        """Whether hints can still come: every thread runs, and the root is the same folder."""
        observer = self._observer
        if observer is None or not observer.is_alive() or not observer.emitters:
            return False
        # An emitter can die silently while its observer goes on (cocoindex 2227).
        if not all(emitter.is_alive() for emitter in tuple(observer.emitters)):
            return False
        # In watchdog 7, one more thread feeds all emitters.
        reader = getattr(observer, "_inotify_fd", None)
        if isinstance(reader, threading.Thread) and not reader.is_alive():
            return False
        return self._identity == _folder_identity(self._root)

    def restart(self) -> None:
        """Watch with a new observer.

        A watch cannot be added to an observer again: "already scheduled" (watchdog 765).

        Raises:
            OSError: The root is missing or cannot be watched. It is never created here, as it may
                be the mount point of a volume.
        """
        self.stop()
        identity = _folder_identity(self._root)
        if identity is None:
            raise FileNotFoundError(errno.ENOENT, "the inbox does not exist", str(self._root))
        self.real_root = Path(os.path.realpath(self._root))
        try:
            self._observer = self._start(self._make_observer)
        except OSError as error:
            if error.errno not in _NO_MORE_WATCHES:
                raise
            _log.warning(
                "the system has no more file events; polling the inbox",
                inbox=str(self._root),
                error=str(error),
            )
            self._observer = self._start(self._make_fallback)
        self._identity = identity

    def stop(self, timeout_s: float = _STOP_TIMEOUT_S) -> None:
        """Stop the observer, and wait for that no longer than ``timeout_s``."""
        observer = self._observer
        self._observer = None
        self._identity = None
        if observer is not None:
            _close(observer, timeout_s)

    def _start(self, make: Callable[[], BaseObserver]) -> BaseObserver:
        observer = make()
        try:
            observer.schedule(self._hints, str(self.real_root), recursive=self._recursive)
            observer.start()
        except BaseException:
            _close(observer, timeout_s=1.0)
            raise
        return observer


def _folder_identity(folder: Path) -> tuple[int, int] | None:
    try:
        status = folder.stat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISDIR(status.st_mode) else None


def _close(observer: BaseObserver, timeout_s: float) -> None:
    """Stop an observer from another thread: watchdog joins its threads without a time limit."""

    def close() -> None:
        try:
            observer.stop()
            if observer.ident is not None:
                observer.join()
        except Exception as error:  # the observer is not used again in any case
            _log.debug("stopping the observer failed", error=str(error))

    thread = threading.Thread(target=close, name="inbox-watch-close", daemon=True)
    thread.start()
    thread.join(timeout_s)
    if thread.is_alive():
        _log.warning("the observer did not stop in time", seconds=timeout_s)
