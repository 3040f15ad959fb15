"""One inbox: hints and rescans in, complete files out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import structlog

from ocrd.backoff import Backoff
from ocrd.inbox.file_state import stat_file
from ocrd.inbox.ignore import ignore_reason, skip_folder
from ocrd.inbox.stability import StabilityTracker, Waiting
from ocrd.inbox.walk import is_plain_folder, place, walk
from ocrd.inbox.watcher import FolderWatcher
from ocrd.types import Fingerprint, StableFile

_log = structlog.get_logger(__name__)

# Seconds between checks of the watch, which can go silent without an error.
HEALTH_EVERY = 15.0

# Between tries while the root is missing or cannot be watched.
BACKOFF = Backoff((0.5, 1.0, 2.0, 5.0))


class Inbox:
    """Call :meth:`poll` when ``wake`` is set or :meth:`next_poll_in` has passed.

    All calls from one thread.
    """

    def __init__(  # the settings of one inbox, in the order of its configuration
        self,
        root: Path,
        suffixes: frozenset[str],
        *,
        settle: float,
        recursive: bool,
        is_known: Callable[[Path, Fingerprint], bool],
        wake: threading.Event,
        rescan_every: float = 300.0,
    ) -> None:
        self._root = root
        self._suffixes = suffixes
        self._recursive = recursive
        self._is_known = is_known
        self._wake = wake
        self._rescan_every = rescan_every
        self._watch = FolderWatcher(root, recursive=recursive, wake=wake)
        self._settling = StabilityTracker(settle)
        self._taken: dict[Path, Fingerprint] = {}
        self._rescan_asked = True
        self._next_rescan = 0.0
        self._retry_at: float | None = None
        self._tries = 0
        self._told = False

    def start(self) -> None:
        """Begin to watch. The first poll walks the folder, after the watch stands, so nothing
        falls between.
        """
        self._rescan_asked = True
        self._open()

    def stop(self) -> None:
        """End the watch; what was waited for is found again by the next start."""
        self._watch.stop()

    def request_rescan(self) -> None:
        """Walk the whole folder at the next poll, as after sleep; may be called from any thread."""
        self._rescan_asked = True
        self._wake.set()

    def forget(self, path: Path) -> None:
        """Take this file again when it has settled, though it was handed out before."""
        self._taken.pop(path, None)
        self._settling.forget(path)
        self.request_rescan()

    def forget_taken(self) -> None:
        """Hand out again, once settled, whatever the journal does not know.

        Its last answers were lost.
        """
        self._taken.clear()
        self.request_rescan()

    def waiting(self) -> tuple[Waiting, ...]:
        """The files that are not complete yet, with the reason where there is one."""
        return self._settling.waiting()

    def poll(self, now: float) -> list[StableFile]:
        """The files that have settled since the last poll, each once for one fingerprint."""
        self._keep_watching(now)
        hints = self._watch.drain()
        try:
            if self._rescan_asked or now >= self._next_rescan:
                self._rescan_asked = False
                self._next_rescan = now + self._rescan_every
                candidates = set(self._walk(self._root))
                self._drop_gone(candidates)
            else:
                candidates = {path for hint in hints for path in self._follow(hint)}
            candidates.update(self._settling.due(now))
            settled = [found for path in sorted(candidates) if (found := self._consider(path, now))]
        except BaseException:
            self.request_rescan()  # the hints are spent, and nothing was handed out
            raise
        self._taken.update((found.path, found.fingerprint) for found in settled)
        self._attend()
        return settled

    def next_poll_in(self, now: float) -> float:
        """Seconds until there is something to do that no event announces."""
        if self._rescan_asked:
            return 0.0
        check = HEALTH_EVERY if self._retry_at is None else self._retry_at - now
        due = self._settling.next_due(now)
        return max(0.0, min(check, self._next_rescan - now, check if due is None else due))

    def _keep_watching(self, now: float) -> None:
        if self._watch.healthy():
            self._retry_at = None
            self._tries = 0
            return
        if self._retry_at is not None and now < self._retry_at:
            return
        if self._open():
            self._retry_at = None
            self._tries = 0
        else:
            self._tries += 1
            self._retry_at = now + BACKOFF.delay_s(self._tries)
        # Without a watch, each try is at least a walk.
        self._rescan_asked = True

    def _open(self) -> bool:
        try:
            self._watch.rebuild()
        except OSError as error:
            if not self._told:
                _log.warning("inbox_not_watched", root=str(self._root), error=str(error))
                self._told = True
            return False
        self._told = False
        _log.info("inbox_watched", root=str(self._root))
        return True

    def _walk(self, folder: Path) -> Iterable[Path]:
        return walk(folder, self._suffixes, recursive=self._recursive, failed=self._entry_failed)

    def _entry_failed(self, path: Path, error: OSError) -> None:
        if path != self._root:  # the root has its own message, once
            _log.warning("inbox_entry_failed", path=ascii(str(path)), error=ascii(str(error)))

    def _follow(self, hint: Path) -> Iterable[Path]:
        """The candidates that a hint stands for: a file, or all in a folder that was moved in."""
        try:
            parts = hint.relative_to(self._watch.watched).parts
        except ValueError:
            self.request_rescan()  # the root by another name, or nonsense: the walk knows
            return ()
        if len(parts) > 1 and not self._recursive:
            return ()
        path = place(self._root, parts)
        if path is None:
            return ()
        if not parts or is_plain_folder(path):
            enter = not parts or (self._recursive and not skip_folder(path.name))
            return self._walk(path) if enter else ()
        return (path,) if ignore_reason(path.name, self._suffixes) is None else ()

    def _consider(self, path: Path, now: float) -> StableFile | None:
        seen = stat_file(path)
        if seen.fingerprint is None:
            self._settling.forget(path)
            self._taken.pop(path, None)
            return None
        if self._taken.get(path) == seen.fingerprint or self._is_known(path, seen.fingerprint):
            self._settling.forget(path)
            return None
        if self._settling.seen(
            path, seen.fingerprint, now=now, patience=seen.patience, reason=seen.reason
        ):
            return StableFile(path, seen.fingerprint)
        return None

    def _drop_gone(self, present: set[Path]) -> None:
        """Keep the tables as small as the folder.

        A path that the walk failed to reach is not gone.
        """
        for path in [
            path
            for path in self._taken
            if path not in present and stat_file(path).fingerprint is None
        ]:
            del self._taken[path]

    def _attend(self) -> None:
        watched = self._watch.watched
        self._watch.attend(
            frozenset(watched / w.path.relative_to(self._root) for w in self._settling.waiting())
        )
