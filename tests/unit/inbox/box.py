"""An inbox in a loop like the daemon's."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from ocrd.inbox.inbox import Inbox
from ocrd.types import Fingerprint, StableFile

SUFFIXES = frozenset({".png", ".pdf"})
SETTLE_S = 0.2


class Box:
    """An inbox with a loop like the daemon's, which sleeps until the event is set."""

    def __init__(
        self,
        root: Path,
        *,
        recursive: bool = True,
        settle_s: float = SETTLE_S,
        rescan_interval_s: float = 300.0,
    ) -> None:
        self.root = root
        self.wake = threading.Event()
        self.known: set[Fingerprint] = set()
        self.polls = 0
        self.inbox = Inbox(
            root,
            SUFFIXES,
            settle_s=settle_s,
            recursive=recursive,
            is_known=lambda _path, fingerprint: fingerprint in self.known,
            wake=self.wake,
            rescan_interval_s=rescan_interval_s,
        )

    def run(
        self, seconds: float, until: Callable[[list[StableFile]], bool] = lambda found: False
    ) -> list[StableFile]:
        found: list[StableFile] = []
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end:
            self.polls += 1
            found += self.inbox.poll(now)
            if until(found):
                break
            now = time.monotonic()
            self.wake.wait(min(self.inbox.next_poll_in_s(now), max(0.0, end - now)))
            self.wake.clear()
        return found

    def first(self, seconds: float = 5.0) -> list[StableFile]:
        return self.run(seconds, bool)

    def ready(self) -> Box:
        self.inbox.start()
        assert self.run(0.05) == []
        return self


def names(found: list[StableFile]) -> list[str]:
    return [one.path.name for one in found]
