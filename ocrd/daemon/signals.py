"""How the daemon's threads wake each other, and how they end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

# Seconds after which each thread wakes up even when nothing happens.
HEARTBEAT_S = 60.0
# Seconds to wait after an unexpected error or a full disk, before the next try.
RETRY_DELAY_S = 5.0


@dataclass(frozen=True)
class DaemonSignals:
    """Events shared by the daemon's threads.

    Attributes:
        stop: The daemon ends.
        inbox: Something may have changed in an inbox.
        jobs: A job may have been queued.
        busy: The model is loading, or a job is running.
    """

    stop: threading.Event = field(default_factory=threading.Event)
    inbox: threading.Event = field(default_factory=threading.Event)
    jobs: threading.Event = field(default_factory=threading.Event)
    busy: threading.Event = field(default_factory=threading.Event)

    def end(self) -> None:
        """Ask every thread to end. Takes locks: never call it in a signal handler."""
        self.stop.set()
        self.inbox.set()
        self.jobs.set()


def stop_all(stops: Sequence[Callable[[], object]], *, timeout_s: float) -> None:
    """Call all ``stops`` at the same time and wait for them, ``timeout_s`` seconds at most."""
    threads = [threading.Thread(target=stop, daemon=True) for stop in stops]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + timeout_s
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
