"""Files handed over where they lie.

Into the journal, which keeps them whether a daemon runs or not.
"""

from __future__ import annotations

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
from ocrd.journal import Job, Journal

# Seconds between two looks at what becomes of a file.
GLANCE = 0.2
# Seconds for one that is only just being started.
STARTING = 2.0
OWN_HOOK = (
    "this is its own hook, which would be run for it again and again; nothing is queued for it"
)
# Seconds that the daemon may be away while somebody waits: a crashed one is started again after 30.
AWAY = 90.0


@dataclass(frozen=True)
class Submitted:
    path: Path
    # None when it was not taken.
    job: str | None
    # Why not.
    why: str = ""
    # When, in seconds since 1970.
    at: float = field(default_factory=time.time)


def submit(files: Sequence[Path]) -> tuple[list[Submitted], bool]:
    """Queue each file, and wake the daemon: what became of each, and whether a daemon heard.

    Raises ServiceError or sqlite3.Error when the journal cannot be written.
    """
    state = paths.make_private_folder(paths.state_dir())
    journal = Journal(state)
    try:
        done = [_submit(journal, file) for file in files]
    finally:
        journal.close()
    return done, notify_daemon(state) or is_running(state)


def _submit(journal: Journal, file: Path) -> Submitted:
    # A link is followed: its file is read where it lies, and the sidecars lie beside that.
    path = Path(os.path.realpath(file))
    at = time.time()
    seen = stat_file(path)
    if seen.fingerprint is None:
        what = seen.reason
        if os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises where it may not look
            what = "is a folder"
        return Submitted(path, None, f"{file}: {what}; nothing is queued for it")
    if in_hook_of(path):
        return Submitted(path, None, f"{file}: {OWN_HOOK}")
    return Submitted(path, journal.submit(path, seen.fingerprint), at=at)


def in_hook_of(path: Path | None, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether we run in the hook of ``path``, of any file for None."""
    if "OCRD_EVENT" not in environment:
        return False
    return path is None or os.path.realpath(environment.get("OCRD_FILE", "")) == os.path.realpath(
        path
    )


@dataclass(frozen=True)
class Progress:
    """How far one submitted file is."""

    path: Path
    # ``queued``, ``running``, ``paused``, ``done``, ``failed``, or ``gone`` for a file that was
    # taken away.
    state: str
    message: str = ""
    # Pages read so far, while it runs.
    pages: int = 0


def follow(
    submitted: Sequence[Submitted],
    sleep: Callable[[float], None] = time.sleep,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Progress]:
    """What becomes of each file, whenever something changes, until all are done, failed or gone.

    Raises ServiceError when no daemon runs, or when it is away for longer than `AWAY` seconds.
    """
    state = paths.state_dir()
    journal = Journal(state)
    began = min((given.at for given in submitted), default=0.0)
    waiting = {given.job: Progress(given.path, "") for given in submitted if given.job}
    seen = clock()
    allowed = STARTING
    try:
        while waiting:
            for job in list(waiting):
                now = _progress(journal, job, path=waiting[job].path, since=began)
                if now != waiting[job]:
                    yield now
                waiting[job] = now
                if now.state in ("done", "failed", "gone"):
                    del waiting[job]
            if is_running(state):
                seen = clock()
                allowed = AWAY
            elif waiting and clock() - seen >= allowed:
                raise ServiceError(
                    f"no daemon is running; {len(waiting)} file(s) wait for it; start it with: ocrd start"
                )
            if waiting:
                sleep(GLANCE)
    finally:
        journal.close()


def _progress(journal: Journal, job: str, *, path: Path, since: float) -> Progress:
    # Of a file that changed and was submitted again the newer job tells.
    found: Job | None = journal.job(job) or journal.latest(path, since)
    if found is None:
        return Progress(path, "gone", "the file was taken away before it was read")
    if found.state == "queued" and (why := journal.fact("paused")):
        return Progress(path, "paused", str(why))
    pages = journal.page_count(job) if found.state == "running" else 0
    return Progress(path, found.state, found.message or "", pages)
