"""Queues files where they are, and follows what becomes of them.

The journal keeps them, whether a daemon runs or not.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ocrd import paths
from ocrd.control.lock import is_running
from ocrd.control.wakeup import notify_daemon
from ocrd.errors import ServiceError
from ocrd.inbox.file_state import stat_file
from ocrd.journal import JobState, Journal

POLL_INTERVAL_S = 0.2
# Seconds for a daemon that is just being started.
START_TIMEOUT_S = 2.0
# Seconds that a daemon may be away while a command waits: a crashed one is started again after 30.
RESTART_TIMEOUT_S = 90.0
IN_OWN_HOOK = (
    "this command runs in the file's own hook, which would run again and again;"
    " nothing is queued for it"
)
# States in which a submitted file has ended.
ENDED = frozenset({"done", "failed", "gone"})


@dataclass(frozen=True)
class SubmittedFile:
    """One file that was to be queued.

    Attributes:
        path: The file, with links resolved.
        job: Its job; None when it was not queued.
        error: Why it was not queued.
        at: When, in seconds since 1970.
    """

    path: Path
    job: str | None
    error: str = ""
    at: float = field(default_factory=time.time)


def submit(files: Sequence[Path]) -> tuple[list[SubmittedFile], bool]:
    """Queue each file and wake the daemon.

    Returns:
        What became of each file, and whether a daemon runs.

    Raises:
        ServiceError: The journal cannot be used, or the daemon cannot be checked.
    """
    state = paths.make_private_folder(paths.state_dir())
    with contextlib.closing(Journal(state)) as journal:
        submitted = [_submit(journal, file) for file in files]
    return submitted, notify_daemon(state) or is_running(state)


def _submit(journal: Journal, file: Path) -> SubmittedFile:
    # Links are followed: the file is read where it is, and its sidecars are written next to it.
    path = Path(os.path.realpath(file))
    at = time.time()
    state = stat_file(path)
    if state.fingerprint is None:
        is_folder = os.path.isdir(path)  # noqa: PTH112 - Path.is_dir may raise
        reason = "is a folder" if is_folder else state.reason
        return SubmittedFile(path, None, f"{file}: {reason}; nothing is queued for it")
    if is_in_hook_of(path):
        return SubmittedFile(path, None, f"{file}: {IN_OWN_HOOK}")
    return SubmittedFile(path, journal.jobs.submit(path, state.fingerprint), at=at)


def is_in_hook_of(path: Path | None, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this process runs in the hook of ``path``, or of any file for None."""
    if "OCRD_EVENT" not in environment:
        return False
    if path is None:
        return True
    return os.path.realpath(environment.get("OCRD_FILE", "")) == os.path.realpath(path)


@dataclass(frozen=True)
class FileProgress:
    """How far one submitted file is.

    Attributes:
        path: The file.
        state: ``queued``, ``running``, ``paused``, ``done``, ``failed``, or ``gone`` for a file
            that was removed.
        message: Why.
        page_count: Pages read so far, while it runs.
    """

    path: Path
    state: str
    message: str = ""
    page_count: int = 0


def follow(
    submitted: Sequence[SubmittedFile],
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[FileProgress]:
    """Each file's progress, whenever something changes, until all have ended.

    Args:
        submitted: What `submit` returned.
        sleep: Waits for seconds.
        clock: Monotonic seconds.

    Raises:
        ServiceError: No daemon runs, or it was away for longer than RESTART_TIMEOUT_S.
    """
    state = paths.state_dir()
    since = min((file.at for file in submitted), default=0.0)
    waiting = {file.job: FileProgress(file.path, "") for file in submitted if file.job}
    seen_at = clock()
    timeout_s = START_TIMEOUT_S
    with contextlib.closing(Journal(state)) as journal:
        while waiting:
            for job in list(waiting):
                progress = _progress(journal, job, path=waiting[job].path, since=since)
                if progress != waiting[job]:
                    yield progress
                waiting[job] = progress
                if progress.state in ENDED:
                    del waiting[job]
            if is_running(state):
                seen_at = clock()
                timeout_s = RESTART_TIMEOUT_S
            elif waiting and clock() - seen_at >= timeout_s:
                raise ServiceError(
                    f"no daemon is running; {len(waiting)} file(s) wait for it;"
                    " start it with: ocrd start"
                )
            if waiting:
                sleep(POLL_INTERVAL_S)


def _progress(journal: Journal, job_id: str, *, path: Path, since: float) -> FileProgress:
    # A file that changed and was submitted again has a newer job.
    job = journal.history.job(job_id) or journal.history.latest(path, since)
    if job is None:
        return FileProgress(path, "gone", "the file was removed before it was read")
    if job.state == JobState.QUEUED:
        pause_reason = journal.status.pause_reason()
        if pause_reason is not None:
            return FileProgress(path, "paused", pause_reason)
    page_count = journal.pages.page_count(job_id) if job.state == JobState.RUNNING else 0
    return FileProgress(path, job.state.value, job.message or "", page_count)
