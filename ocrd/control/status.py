"""Reads what the daemon published, and what its journal holds, from another process."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from pathlib import Path

from ocrd.control.exit_record import LastExit, read_last_exit
from ocrd.control.lock import is_running
from ocrd.errors import OutdatedJournalError
from ocrd.journal import FILE_NAME, Job, JobState, Journal
from ocrd.status import DaemonStatus, EngineStatus

MAX_FAILURES_READ = 1000
MAX_JOBS_SHOWN = 10


@dataclass(frozen=True)
class StatusSnapshot:
    """The daemon and its jobs at one moment.

    Attributes:
        running: Whether a daemon runs.
        daemon: The running daemon.
        engine: The state of its engine.
        pause_reason: Why it reads nothing at present.
        pause_requested: Whether the user asked for a pause.
        folder_errors: By folder, why the daemon cannot use it.
        counts: Jobs by state.
        waiting: Jobs that wait for a retry.
        failures: The latest failures whose files still exist.
        last_exit: Why the last daemon ended, unless it was asked to.
    """

    running: bool
    daemon: DaemonStatus | None = None
    engine: EngineStatus | None = None
    pause_reason: str | None = None
    pause_requested: bool = False
    folder_errors: dict[str, str | None] = field(default_factory=dict)
    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys((state.value for state in JobState), 0)
    )
    waiting: tuple[Job, ...] = ()
    failures: tuple[Job, ...] = ()
    last_exit: LastExit | None = None


def read_status(state: Path) -> StatusSnapshot:
    """The status of the daemon of this state folder.

    Raises:
        ServiceError: The lock cannot be checked.
        JournalError: The journal cannot be used.
    """
    running = is_running(state)
    last_exit = read_last_exit(state)
    if not (state / FILE_NAME).exists():
        return StatusSnapshot(running, last_exit=last_exit)
    # Opened whether a daemon runs or not: a damaged journal is worth knowing.
    with contextlib.closing(Journal(state)) as journal:
        # A file that its owner has removed needs no attention.
        failures = [
            job for job in journal.history.failures(MAX_FAILURES_READ) if os.path.lexists(job.path)
        ]
        return StatusSnapshot(
            running=running,
            daemon=journal.status.daemon() if running else None,
            engine=journal.status.engine() if running else None,
            pause_reason=journal.status.pause_reason() if running else None,
            pause_requested=journal.status.pause_requested(),
            folder_errors=journal.status.folder_errors() if running else {},
            counts=journal.history.counts(),
            waiting=tuple(journal.history.waiting_for_retry(MAX_JOBS_SHOWN)),
            failures=tuple(failures[:MAX_JOBS_SHOWN]),
            last_exit=last_exit,
        )


def read_daemon(state: Path) -> DaemonStatus | None:
    """The running daemon; None when none runs.

    A daemon that is just starting has not published itself: then it is the one before. A daemon of
    an older ocrd published nothing that can be read.
    """
    if not is_running(state) or not (state / FILE_NAME).exists():
        return None
    try:
        journal = Journal(state)
    except OutdatedJournalError:
        return None  # `ocrd restart` must be able to replace a daemon of an older version
    with contextlib.closing(journal):
        return journal.status.daemon()
