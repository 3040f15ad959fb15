"""Notifications: one for all files that ended within a short time, failures first."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from ocrd import system_commands
from ocrd.errors import ServiceError
from ocrd.formatting import printable

# Seconds after the last file before a notification is shown.
QUIET_S = 5.0
# Seconds after the first file before it is shown although more files follow.
MAX_DELAY_S = 60.0
# File names in one notification; further files are counted.
MAX_NAMES = 3
# The text is passed as arguments, never as part of the script: a file name must not become code.
SCRIPT = (
    "on run argv",
    "display notification (item 1 of argv) with title (item 2 of argv)",
    "end run",
)

_log = structlog.get_logger(component="finder")


@dataclass
class NotificationQueue:
    """Results that no notification has shown yet. Use it from one thread only."""

    clock: Callable[[], float] = time.monotonic
    failed: list[str] = field(default_factory=list)
    read: list[str] = field(default_factory=list)
    first_at: float = 0.0
    last_at: float = 0.0

    def add(self, name: str, *, read: bool) -> None:
        """Add a file that was read or that failed."""
        if not self.failed and not self.read:
            self.first_at = self.clock()
        self.last_at = self.clock()
        (self.read if read else self.failed).append(name)

    def due_in(self) -> float | None:
        """Return the seconds until `show` should be called; None when the queue is empty."""
        if not self.failed and not self.read:
            return None
        due_at = min(self.last_at + QUIET_S, self.first_at + MAX_DELAY_S)
        return max(0.0, due_at - self.clock())

    def show(self, wait_s: float = 0.0) -> None:
        """Show one notification for all results and empty the queue.

        Errors are logged, never raised: a failed notification must not stop the daemon.

        Args:
            wait_s: Seconds to wait until the notification is shown.
        """
        if not self.failed and not self.read:
            return
        text = notification_text(self.failed, self.read)
        self.failed = []
        self.read = []
        # On its own thread: osascript may wait for a permission that no user is there to give.
        thread = threading.Thread(target=_display, args=(text,), name="notification", daemon=True)
        thread.start()
        thread.join(wait_s)


def notification_text(failed: list[str], read: list[str]) -> str:
    """Return a text such as ``2 failed: a.png, b.png. 9 read: c.png, d.png, e.png and 6 more``.

    It never begins with a hyphen, which osascript would take for an option.
    """
    parts = []
    for names, outcome in ((failed, "failed"), (read, "read")):
        if names:
            parts.append(f"{len(names)} {outcome}: {_join_names(names)}")
    return ". ".join(parts)


def _join_names(names: list[str]) -> str:
    shown = ", ".join(map(printable, names[:MAX_NAMES]))
    return f"{shown} and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else shown


def _display(text: str) -> None:
    script = [argument for line in SCRIPT for argument in ("-e", line)]
    try:
        result = system_commands.run_command("osascript", *script, text, "ocrd")
        if result.exit_code != 0:
            _log.warning("showing a notification failed", error=result.last_line)
    except ServiceError as error:
        _log.warning("showing a notification failed", error=str(error))
