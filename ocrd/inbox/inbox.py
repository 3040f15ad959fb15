"""One inbox: it turns file events and rescans into complete files."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import structlog

from ocrd.backoff import Backoff
from ocrd.inbox.file_state import stat_file
from ocrd.inbox.ignore import ignore_reason, is_ignored_folder
from ocrd.inbox.stability import PendingFile, StabilityTracker
from ocrd.inbox.walk import is_plain_folder, path_on_disk, walk
from ocrd.inbox.watcher import FolderWatcher
from ocrd.types import Fingerprint, StableFile

_log = structlog.get_logger(component="inbox")

# Time between checks of the watcher, which can fall silent without an error.
WATCHER_CHECK_INTERVAL_S = 15.0

RESCAN_INTERVAL_S = 300.0

# Between tries to watch a root that is missing or cannot be watched.
BACKOFF = Backoff((0.5, 1.0, 2.0, 5.0))


class Inbox:
    """Call `poll` when ``wake`` is set or `next_poll_in_s` has passed, always from one thread."""

    def __init__(
        self,
        root: Path,
        suffixes: frozenset[str],
        *,
        settle_s: float,
        recursive: bool,
        is_known: Callable[[Path, Fingerprint], bool],
        wake: threading.Event,
        rescan_interval_s: float = RESCAN_INTERVAL_S,
    ) -> None:
        """Describe an inbox; `start` begins to watch it.

        Args:
            root: The folder. It may be missing; then it is waited for.
            suffixes: The suffixes to read, in lower case with their dot.
            settle_s: Seconds that a file has to stay unchanged.
            recursive: Whether files in sub-folders are read.
            is_known: Whether the journal has this file with this fingerprint already.
            wake: Set when something may have changed.
            rescan_interval_s: Seconds between walks of the whole folder.
        """
        self._root = root
        self._suffixes = suffixes
        self._recursive = recursive
        self._is_known = is_known
        self._wake = wake
        self._rescan_interval_s = rescan_interval_s
        self._watcher = FolderWatcher(root, recursive=recursive, wake=wake)
        self._tracker = StabilityTracker(settle_s)
        self._taken: dict[Path, Fingerprint] = {}
        self._rescan_requested = True
        self._next_rescan = 0.0
        # When to try to watch again; None while the watcher is healthy.
        self._retry_at: float | None = None
        self._failed_tries = 0
        self._error_logged = False

    def start(self) -> None:
        """Start the watcher.

        The first poll walks the folder, after the watcher has started, so no file is missed.
        """
        self._rescan_requested = True
        self._start_watcher()

    def stop(self) -> None:
        """Stop the watcher. The next start finds the pending files again."""
        self._watcher.stop()

    def request_rescan(self) -> None:
        """Walk the whole folder at the next poll, as after sleep. Any thread may call this."""
        self._rescan_requested = True
        self._wake.set()

    def forget(self, path: Path) -> None:
        """Take this file again once it is stable, though it was taken before."""
        self._taken.pop(path, None)
        self._tracker.forget(path)
        self.request_rescan()

    def forget_taken(self) -> None:
        """Take every stable file again that the journal does not know.

        For files that were returned, but could not be put into the journal.
        """
        self._taken.clear()
        self.request_rescan()

    def pending(self) -> tuple[PendingFile, ...]:
        """The files that are not complete yet."""
        return self._tracker.pending()

    def poll(self, now: float) -> list[StableFile]:
        """Return the files that became stable since the last poll, each once per fingerprint.

        Args:
            now: The time of a monotonic clock.

        Raises:
            Exception: ``is_known`` raised it. No file is lost: the next poll walks the folder.
        """
        self._keep_watching(now)
        hints = self._watcher.drain()
        try:
            if self._rescan_requested or now >= self._next_rescan:
                self._rescan_requested = False
                self._next_rescan = now + self._rescan_interval_s
                candidates = set(self._walk(self._root))
                self._forget_missing(candidates)
            else:
                candidates = {path for hint in hints for path in self._resolve_hint(hint)}
            candidates.update(self._tracker.due(now))
            checked = [self._check(path, now) for path in sorted(candidates)]
        except BaseException:
            self.request_rescan()  # the hints are used up, and nothing was returned
            raise
        stable = [file for file in checked if file is not None]
        self._taken.update((file.path, file.fingerprint) for file in stable)
        self._mute_pending()
        return stable

    def next_poll_in_s(self, now: float) -> float:
        """Seconds until something has to be done that no event announces."""
        if self._rescan_requested:
            return 0.0
        watcher_check_at = self._retry_at or now + WATCHER_CHECK_INTERVAL_S
        waits = [watcher_check_at - now, self._next_rescan - now]
        next_check = self._tracker.next_due_in_s(now)
        if next_check is not None:
            waits.append(next_check)
        return max(0.0, min(waits))

    def _keep_watching(self, now: float) -> None:
        if self._watcher.is_healthy():
            self._retry_at = None
            self._failed_tries = 0
            return
        if self._retry_at is not None and now < self._retry_at:
            return
        if self._start_watcher():
            self._retry_at = None
            self._failed_tries = 0
        else:
            self._failed_tries += 1
            self._retry_at = now + BACKOFF.delay_s(self._failed_tries)
        # Events may be lost, or not come at all.
        self._rescan_requested = True

    def _start_watcher(self) -> bool:
        try:
            self._watcher.restart()
        except OSError as error:
            if not self._error_logged:
                _log.warning(
                    "the inbox cannot be watched; retrying",
                    inbox=str(self._root),
                    error=str(error),
                )
                self._error_logged = True
            return False
        self._error_logged = False
        _log.info("watching the inbox", inbox=str(self._root))
        return True

    def _walk(self, folder: Path) -> Iterable[Path]:
        return walk(
            folder, self._suffixes, recursive=self._recursive, on_error=self._log_entry_error
        )

    def _log_entry_error(self, path: Path, error: OSError) -> None:
        if path != self._root:  # the root has a message of its own, logged once
            _log.warning(
                "an entry of the inbox cannot be read",
                path=ascii(str(path)),
                error=ascii(str(error)),
            )

    def _resolve_hint(self, hint: Path) -> Iterable[Path]:
        """The files that a hint means: one, or all in a folder that was moved in."""
        try:
            parts = hint.relative_to(self._watcher.real_root).parts
        except ValueError:  # another spelling of the root, or nonsense
            self.request_rescan()
            return ()
        if len(parts) > 1 and not self._recursive:
            return ()
        path = path_on_disk(self._root, parts)
        if path is None:
            return ()
        if not parts:
            return self._walk(path)
        if is_plain_folder(path):
            enter = self._recursive and not is_ignored_folder(path.name)
            return self._walk(path) if enter else ()
        return (path,) if ignore_reason(path.name, self._suffixes) is None else ()

    def _check(self, path: Path, now: float) -> StableFile | None:
        """The file, if it is stable now and was not taken before."""
        state = stat_file(path)
        if state.fingerprint is None:
            self._tracker.forget(path)
            self._taken.pop(path, None)
            return None
        taken = self._taken.get(path) == state.fingerprint
        if taken or self._is_known(path, state.fingerprint):
            self._tracker.forget(path)
            return None
        stable = self._tracker.observe(
            path,
            state.fingerprint,
            now=now,
            required_quiet_s=state.required_quiet_s,
            reason=state.reason,
        )
        return StableFile(path, state.fingerprint) if stable else None

    def _forget_missing(self, present: set[Path]) -> None:
        """Remove the taken files that do not exist any more.

        A file that the walk could not reach (an unreadable folder) may still exist.
        """
        for path in self._taken.keys() - present:
            if stat_file(path).fingerprint is None:
                del self._taken[path]

    def _mute_pending(self) -> None:
        root = self._watcher.real_root
        pending = self._tracker.pending()
        self._watcher.mute(frozenset(root / file.path.relative_to(self._root) for file in pending))
