"""Runs one job: checks the file, has it read, and writes its sidecars."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import structlog

from ocrd.backends.base import MAX_CRASHES, Backend
from ocrd.config import Config, FilePolicy
from ocrd.daemon.batching import take_companions
from ocrd.daemon.context import DaemonContext
from ocrd.daemon.file_policy import default_destination, policy_for
from ocrd.daemon.job_memory import JobMemory
from ocrd.daemon.outcome import JobOutcomes
from ocrd.daemon.sidecar_writer import SidecarWriter
from ocrd.errors import (
    BackendCrashed,
    BackendExhausted,
    JournalError,
    OcrdError,
    ReadDeferred,
    ReadRefused,
    RefusalReason,
)
from ocrd.files import hash_file
from ocrd.inbox.file_state import remaining_settle_s, unavailable_reason
from ocrd.journal import Job, Journal
from ocrd.outputs import sidecar
from ocrd.outputs.destination import Destination, find_complete_set
from ocrd.read_protocol import (
    DocumentDeferred,
    DocumentEvent,
    DocumentFinished,
    DocumentRefused,
    PageRead,
)
from ocrd.serialization import decode_reading
from ocrd.types import BackendInfo
from ocrd.worker.from_config import read_request


@dataclass(frozen=True)
class _PreparedJob:
    """A job whose file can be read now."""

    job: Job
    policy: FilePolicy
    destination: Destination
    source: sidecar.Source
    started_at: float


class JobRunner:
    """Runs each job to its end, or queues it again; the journal knows every outcome."""

    def __init__(
        self, config: Config, journal: Journal, *, backend: Backend, context: DaemonContext
    ) -> None:
        self._config = config
        self._journal = journal
        self._backend = backend
        self._context = context
        self._memory = JobMemory()
        self._outcomes = JobOutcomes(journal, context, memory=self._memory)
        self._writer = SidecarWriter(journal)
        self._log = structlog.get_logger(component="jobs")

    def run(self, job: Job) -> None:
        """Read one file. Raises only JournalError: no file's problem reaches the caller."""
        self._contain(job, partial(self._read, job))

    def companions(self, job: Job) -> list[Job]:
        """Pictures to read together with ``job``, taken from the journal; none for most jobs."""
        info = self._backend.info
        return take_companions(
            job,
            self._config,
            journal=self._journal,
            memory=self._memory,
            batch=info.batch if info else 1,
        )

    def run_together(self, jobs: Sequence[Job]) -> None:
        """Read several pictures together; the problem of one does not affect the others."""
        waiting: dict[str, _PreparedJob] = {}
        for job in jobs:
            self._contain(job, partial(self._prepare_into, waiting, job))
        if len(waiting) == 1:  # the others are gone or done
            _, only = waiting.popitem()
            self._contain(only.job, partial(self._read, only.job))
        if not waiting:
            return
        try:
            self._read_together(waiting)
        except JournalError:
            raise
        except (OcrdError, OSError) as error:
            if not self._context.is_stopping():
                self._log.warning("the batch failed; reading one by one", error=str(error))
        except Exception:
            self._log.exception("the batch failed; reading one by one")
        for job_id in waiting:
            self._memory.read_alone.add(job_id)
            self._journal.jobs.requeue(job_id)

    def _contain(self, job: Job, action: Callable[[], None]) -> None:
        """Do ``action``; every error that concerns ``job`` alone becomes its outcome."""
        try:
            action()
        except BackendCrashed as error:
            self._outcomes.crashed(job, error, backend=self._backend.info)
        except BackendExhausted as error:
            self._outcomes.exhausted(job, error)
        except ReadRefused as error:
            self._outcomes.refused(job, error)
        except (ReadDeferred, OSError) as error:
            self._outcomes.deferred(job, error)
        except JournalError:
            raise  # not this file's problem: the loop waits and continues with all of them
        except Exception as error:
            self._outcomes.unexpected(job, error)

    def _prepare_into(self, waiting: dict[str, _PreparedJob], job: Job) -> None:
        prepared = self._prepare(job)
        if prepared is not None:
            waiting[job.id] = prepared

    def _prepare(self, job: Job) -> _PreparedJob | None:
        """Check the file; None when there is nothing to read, which the journal knows then."""
        policy = policy_for(self._config, job)
        if policy is None:
            raise ReadRefused(
                RefusalReason.NO_INBOX,
                f"{job.path}: its inbox {job.inbox} is no longer configured",
            )
        if not self._outcomes.is_unchanged(job):
            return None
        absent = unavailable_reason(job.path)
        if absent is not None:
            raise ReadDeferred(f"{job.path.name}: {absent}")
        if job.inbox is None:
            # An inbox waits until a file is complete; a submitted one may be seconds old.
            wait_s = remaining_settle_s(job.path, policy.settle, now=time.time())
            if wait_s > 0:
                self._journal.jobs.requeue(job.id, wait_s, counts=False)
                return None
        destination = default_destination(self._config, job, policy=policy)
        source = sidecar.Source(job.path.name, job.fingerprint.size, hash_file(job.path))
        existing = find_complete_set(destination, source.sha256, formats=policy.formats)
        if existing is not None:
            self._log.info("the sidecars exist already", file=str(job.path))
            paths = [existing.path(format_) for format_ in policy.formats]
            # The journal was lost, or the disk has another device number now: in both cases the
            # user was notified at the time.
            is_news = self._writer.wrote(job.path, existing.path("json"))
            is_news = is_news and not self._journal.history.was_done_before(job)
            self._outcomes.finish(job, paths, notify=is_news)
            return None
        return _PreparedJob(job, policy, destination, source, time.monotonic())

    def _read(self, job: Job) -> None:
        prepared = self._prepare(job)
        if prepared is None:
            return
        cpu_only = job.crashes == MAX_CRASHES - 1
        info = self._backend.start(cpu_only=cpu_only)
        request = read_request(
            self._config,
            job.path,
            job=job.id,
            task=prepared.policy.task,
            first_page=self._journal.pages.page_count(job.id),
            in_new_worker=job.id in self._memory.exhausted,
            page_by_page=job.crashes > 0,
        )
        for event in self._backend.read(request, cpu_only=cpu_only):
            if isinstance(event, PageRead):
                self._journal.pages.save(job.id, event.reading)
                if self._context.is_pausing():
                    # The journal has the pages so far. The backend ends its worker, which is in
                    # the middle of the document.
                    pages = event.reading.index + 1
                    self._log.info("paused in the document", file=str(job.path), pages=pages)
                    self._journal.jobs.requeue(job.id)
                    return
        self._write_sidecars(prepared, info)

    def _read_together(self, waiting: dict[str, _PreparedJob]) -> None:
        """Each picture leaves ``waiting`` when its outcome is in the journal."""
        info = self._backend.start()
        requests = [
            read_request(self._config, prepared.job.path, job=job_id, task=prepared.policy.task)
            for job_id, prepared in waiting.items()
        ]
        for event in self._backend.read_together(requests):
            prepared = waiting.get(event.job)
            if prepared is not None and self._take_in(event, prepared, info=info):
                del waiting[event.job]

    def _take_in(self, event: DocumentEvent, prepared: _PreparedJob, *, info: BackendInfo) -> bool:
        """Record what happened to one picture of several; returns whether it has ended."""
        job = prepared.job
        match event:
            case PageRead():
                self._journal.pages.save(job.id, event.reading)
                return False
            case DocumentFinished():
                self._contain(job, partial(self._write_sidecars, prepared, info))
            case DocumentRefused():
                self._outcomes.refused(job, ReadRefused(event.reason, event.message))
            case DocumentDeferred():
                self._outcomes.deferred(job, ReadDeferred(event.message))
            case _:
                return False
        return True

    def _write_sidecars(self, prepared: _PreparedJob, info: BackendInfo) -> None:
        """All pages are in the journal."""
        job = prepared.job
        if not self._outcomes.is_unchanged(job):
            return
        try:
            pages = [decode_reading(encoded) for encoded in self._journal.pages.readings(job.id)]
        except ValueError:
            self._journal.pages.clear(job.id)  # the next try must not fail over the same pages
            raise
        contents = sidecar.render(
            prepared.source,
            pages,
            backend=info,
            task=prepared.policy.task,
            formats=prepared.policy.formats,
            earlier_failures=self._memory.failures.get(job.id, ()),
        )
        paths = self._writer.write(job.path, prepared.destination, contents=contents)
        self._outcomes.finish(job, paths)
        self._log.info(
            "done",
            job=job.id,
            file=str(job.path),
            pages=len(pages),
            seconds=round(time.monotonic() - prepared.started_at, 2),
        )
