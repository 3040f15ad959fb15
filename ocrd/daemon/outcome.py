"""What follows from each way in which a job can end: done, failed, retried, or dropped."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import structlog

from ocrd.backends.base import MAX_CRASHES
from ocrd.backoff import Backoff
from ocrd.daemon.context import DaemonContext
from ocrd.daemon.job_memory import JobMemory
from ocrd.errors import (
    BackendCrashed,
    BackendExhausted,
    ReadDeferred,
    ReadRefused,
    RefusalReason,
)
from ocrd.inbox.file_state import is_deleted, stat_file
from ocrd.journal import Job, JobState, Journal
from ocrd.types import BackendInfo, Fallback

# What a file that is still being written looks like.
MAYBE_UNFINISHED = frozenset(
    {RefusalReason.DAMAGED, RefusalReason.EMPTY, RefusalReason.UNSUPPORTED}
)
# Seconds since the last write in which a broken file may be an unfinished one: scanners pause for
# up to 4 s.
UNFINISHED_S = 6.0
# Before a job is retried that failed for a reason that may pass.
RETRY_BACKOFF = Backoff((5.0, 30.0, 120.0, 600.0))
# Tries within about a day: then a submitted file whose disk stays away has failed.
MAX_TRIES_OUT_OF_REACH = 150


class JobOutcomes:
    """Writes the end of each try into the journal."""

    def __init__(self, journal: Journal, context: DaemonContext, *, memory: JobMemory) -> None:
        self._journal = journal
        self._context = context
        self._memory = memory
        self._log = structlog.get_logger(component="jobs")

    def finish(self, job: Job, sidecars: Sequence[Path], *, notify: bool = True) -> None:
        """The sidecars are written."""
        notify = notify and self._context.wants_notification(job, JobState.DONE)
        self._journal.jobs.finish(job.id, notify=notify, sidecars=sidecars)
        self._memory.forget(job.id)
        if notify:
            self._context.wake_completion()

    def fail(self, job: Job, reason: RefusalReason, *, message: str) -> None:
        """The job has failed for a reason that lasts."""
        self._memory.forget(job.id)
        self._log.error("failed", file=str(job.path), reason=reason.value, error=message)
        notify = self._context.wants_notification(job, JobState.FAILED)
        self._journal.jobs.fail(job.id, reason, message=message, notify=notify)
        if notify:
            self._context.wake_completion()

    def is_unchanged(self, job: Job) -> bool:
        """Whether the file is still the one that was queued.

        Otherwise its job is dropped, and the new file gets its own from its inbox. A submitted
        file is in no inbox that would find it: its job starts again with the new contents.

        Raises:
            ReadDeferred: A submitted file is out of reach; its disk may be away.
        """
        fingerprint = stat_file(job.path).fingerprint
        if fingerprint == job.fingerprint:
            return True
        is_gone = is_deleted(job.path, job.fingerprint)
        submitted = job.inbox is None
        if submitted and fingerprint is None and not is_gone:
            raise ReadDeferred(f"{job.path}: it cannot be reached, or is no longer a regular file")
        event = "the file is gone" if is_gone else "the file changed; it is read again"
        self._log.info(event, file=str(job.path))
        self._memory.forget(job.id)
        if submitted and fingerprint is not None:
            self._journal.jobs.restart(job.id, job.path, fingerprint=fingerprint)
        else:
            self._journal.jobs.drop(job.id)
            self._context.request_rescan()
        return False

    def refused(self, job: Job, error: ReadRefused) -> None:
        """The backend does not read the file; one that was just written gets a second try."""
        try:
            if not self.is_unchanged(job):
                return
        except ReadDeferred as out_of_reach:
            self.deferred(job, out_of_reach)
            return
        age_s = time.time() - job.fingerprint.mtime_ns / 1e9
        may_be_unfinished = error.reason in MAYBE_UNFINISHED and 0 <= age_s < UNFINISHED_S
        if may_be_unfinished and job.attempts == 1:
            self._log.info(
                "the file may be unfinished; retrying",
                file=str(job.path),
                reason=error.reason.value,
            )
            self._journal.jobs.requeue(job.id, UNFINISHED_S, message=str(error))
        else:
            self.fail(job, error.reason, message=str(error))

    def deferred(self, job: Job, error: Exception) -> None:
        """The file cannot be read now."""
        if is_deleted(job.path, job.fingerprint):
            self.is_unchanged(job)
            return
        if job.inbox is None and job.attempts >= MAX_TRIES_OUT_OF_REACH:
            message = f"{error}; it was tried for a day; when it is back, run: ocrd retry"
            self.fail(job, RefusalReason.UNREACHABLE, message=message)
            return
        delay_s = RETRY_BACKOFF.delay_s(job.attempts)
        self._log.warning("retrying later", file=str(job.path), seconds=delay_s, error=str(error))
        self._journal.jobs.requeue(job.id, delay_s, message=str(error))

    def crashed(self, job: Job, error: BackendCrashed, *, backend: BackendInfo | None) -> None:
        """The worker died while it read the file, or was ended because the daemon ends."""
        if self._context.is_stopping():
            self._journal.jobs.requeue(job.id)
            return
        self._log.warning("the worker died", file=str(job.path), error=str(error))
        failure = Fallback(
            page=self._journal.pages.page_count(job.id),
            kind="crash",
            message=str(error),
            device=backend.device if backend else "cpu",
            dtype=backend.dtype if backend else "float32",
            action="cpu" if job.crashes + 2 == MAX_CRASHES else "fresh-worker",
        )
        self._memory.failures[job.id].append(failure)
        self._count_crash(job, f"{job.path.name}: {error}")

    def exhausted(self, job: Job, error: BackendExhausted) -> None:
        """The worker cannot continue with this file; another one can."""
        self._log.warning(
            "the worker is exhausted; a new one continues", file=str(job.path), error=str(error)
        )
        self._memory.failures[job.id] += error.fallbacks
        if job.id in self._memory.exhausted:  # not for ever: the worker after next is CPU only
            self._count_crash(job, f"{job.path.name}: {error}")
            return
        self._memory.exhausted.add(job.id)
        self._journal.jobs.requeue(job.id)

    def unexpected(self, job: Job, error: Exception) -> None:
        """An error of ocrd itself: the log keeps all of it, and it counts as a crash."""
        self._log.exception("reading failed", file=str(job.path))
        self._count_crash(job, f"{job.path.name}: ocrd failed ({type(error).__name__}: {error})")

    def _count_crash(self, job: Job, message: str) -> None:
        if job.crashes + 1 >= MAX_CRASHES:
            message = f"{message}, {MAX_CRASHES} times; it is not read"
            self.fail(job, RefusalReason.CRASH, message=message)
        else:
            self._journal.jobs.requeue(job.id, message=message, crashed=True)
