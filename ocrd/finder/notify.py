"""Notifications, when they are asked for: one for all that was done meanwhile, failures first."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from ocrd import system_commands
from ocrd.errors import ServiceError

# Seconds without news after which a notification goes out.
QUIET = 5.0
# Seconds after which it goes out though there is more to come.
LONGEST_WAIT = 60.0
# Files that are named; the others are counted.
NAMES = 3
# What is shown comes as arguments, never as part of the script: a file's name is no code.
SCRIPT = (
    "on run argv",
    "display notification (item 1 of argv) with title (item 2 of argv)",
    "end run",
)

_log = structlog.get_logger(component="finder")


@dataclass
class Notices:
    """Results that nobody was told of yet. One thread calls `add`, `due_in` and `show`."""

    clock: Callable[[], float] = time.monotonic
    failed: list[str] = field(default_factory=list)
    read: list[str] = field(default_factory=list)
    first: float = 0.0
    last: float = 0.0

    def add(self, name: str, *, read: bool) -> None:
        if not self.failed and not self.read:
            self.first = self.clock()
        self.last = self.clock()
        (self.read if read else self.failed).append(name)

    def due_in(self) -> float | None:
        """Seconds until they should be shown; None when there is nothing to show."""
        if not self.failed and not self.read:
            return None
        return max(0.0, min(self.last + QUIET, self.first + LONGEST_WAIT) - self.clock())

    def show(self, wait: float = 0.0) -> None:
        """Show one notification for all of them, and forget them.

        ``wait`` so many seconds until it is shown.

        Never raises: it is a courtesy, like a tag.
        """
        if not self.failed and not self.read:
            return
        text = words(self.failed, self.read)
        self.failed = []
        self.read = []
        # On a thread of its own: osascript may wait for a permission that nobody is there to give.
        thread = threading.Thread(target=_display, args=(text,), name="notification", daemon=True)
        thread.start()
        thread.join(wait)


def words(failed: list[str], read: list[str]) -> str:
    """``2 failed: a.png, b.png.

    40 read: c.png, d.png, e.png and 37 more``. It never begins with a hyphen.
    """
    parts = [
        f"{len(names)} {what}: {_names(names)}"
        for what, names in (("failed", failed), ("read", read))
        if names
    ]
    return ". ".join(parts)


def _names(names: list[str]) -> str:
    shown = ", ".join(
        "".join(c if c.isprintable() else "?" for c in name) for name in names[:NAMES]
    )
    return f"{shown} and {len(names) - NAMES} more" if len(names) > NAMES else shown


def _display(text: str) -> None:
    script = [argument for line in SCRIPT for argument in ("-e", line)]
    try:
        answer = system_commands.run_command("osascript", *script, text, "ocrd")
        if answer.exit_code != 0:
            _log.warning("no notification can be shown", error=answer.last_line)
    except ServiceError as error:
        _log.warning("no notification can be shown", error=str(error))
