"""Whether the daemon runs, from its own state folder.

A service manager's answer about a process is not a stable interface; the daemon's lock and journal
are.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ocrd.control.exit_record import read_last_exit
from ocrd.control.lock import is_running
from ocrd.control.status import read_daemon
from ocrd.errors import ServiceError
from ocrd.status import DaemonStatus

POLL_INTERVAL_S = 0.1


@dataclass(frozen=True)
class DaemonProbe:
    """Observes the daemon of one state folder from another process."""

    state_dir: Path
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def is_running(self) -> bool:
        """Return whether a daemon holds the lock of the state folder."""
        return is_running(self.state_dir)

    def status(self) -> DaemonStatus | None:
        """Return what the running daemon published; None when none runs.

        While a daemon starts, it may still be that of the previous one.
        """
        return read_daemon(self.state_dir)

    def pid(self) -> int | None:
        """Return the running daemon's process id."""
        status = self.status()
        return status.pid if status else None

    def wait_until_running(self, timeout_s: float, *, started_after: float) -> bool:
        """Wait for a daemon that started at ``started_after`` or later.

        Args:
            timeout_s: How long to wait.
            started_after: Seconds since 1970.

        Returns:
            False when no such daemon runs after ``timeout_s``.

        Raises:
            ServiceError: Such a daemon ended with a permanent error.
        """
        deadline = self.clock() + timeout_s
        while True:
            status = self.status()
            if status is not None and status.since >= started_after:
                return True
            ended = read_last_exit(self.state_dir)
            if ended and ended.at >= started_after:
                raise ServiceError(
                    f"the service started and ended: {ended.message}; then run: ocrd start"
                )
            if self.clock() > deadline:
                return False
            self.sleep(POLL_INTERVAL_S)


def refuse_if_started_by_hand(daemon: DaemonProbe, next_step: str) -> None:
    """Refuse to go on while a daemon runs that no service manager started.

    Two daemons cannot share one state folder.

    Args:
        daemon: The daemon of this state folder.
        next_step: What the user should do; the end of the message.

    Raises:
        ServiceError: Such a daemon runs.
    """
    status = daemon.status()
    if status is not None and status.manager is None:
        raise ServiceError(
            f"ocrd was started by hand and is running (pid {status.pid}); {next_step}"
        )
