"""A journal, an inbox, and a backend that answers as each test says: for tests of jobs."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ocrd.config import parse_config
from ocrd.daemon.job_runner import JobRunner
from ocrd.errors import ReadDeferred, ReadRefused
from ocrd.inbox.file_state import stat_file
from ocrd.journal import FILE_NAME, Job, JobState, Journal
from ocrd.read_protocol import (
    DocumentDeferred,
    DocumentEvent,
    DocumentFinished,
    DocumentRefused,
    PageEvent,
    PageRead,
    ReadRequest,
)
from ocrd.serialization import encode_reading
from ocrd.types import BackendInfo, Block, EncodedReading, Fingerprint, ModelIdentity, PageReading

# What a backend does with a request: it yields pages, or raises.
Answer = Callable[[ReadRequest], Iterator[EncodedReading]]

INFO = BackendInfo("cpu", "float32", "native", "2", "5", ModelIdentity("a/b", None), batch=3)


def page(index: int, text: str = "hello") -> EncodedReading:
    """A page that was read as ``text``."""
    block = Block(text, page=index)
    return encode_reading(
        PageReading(index, 10, 10, text, (block,), 1, "eos", 0.1, "native", markdown=text)
    )


def reads(*pages: EncodedReading, then: Exception | None = None) -> Answer:
    """An answer of these pages, which then raises."""

    def answer(_request: ReadRequest) -> Iterator[EncodedReading]:
        yield from pages
        if then is not None:
            raise then

    return answer


class ScriptedBackend:
    """Answers as it is told, and notes what it was asked."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.requests: list[ReadRequest] = []
        self.cpu_only: list[bool] = []
        self.together: list[list[str]] = []
        self.info: BackendInfo | None = None
        self.ready = True

    @property
    def first_pages(self) -> list[int]:
        """From which page on each document was requested."""
        return [request.first_page for request in self.requests]

    def start(self, *, verify_fully: bool = False, cpu_only: bool = False) -> BackendInfo:
        self.info = INFO
        return INFO

    def read(self, request: ReadRequest, *, cpu_only: bool = False) -> Iterator[PageEvent]:
        self.requests.append(request)
        self.cpu_only.append(cpu_only)
        for reading in self.answer(request):
            yield PageRead(request.job, reading)

    def read_together(self, requests: Sequence[ReadRequest]) -> Iterator[DocumentEvent]:
        self.together.append([request.path.name for request in requests])
        for request in requests:
            try:
                for reading in self.answer(request):
                    yield PageRead(request.job, reading)
            except ReadRefused as error:
                yield DocumentRefused(request.job, error.reason, str(error))
            except ReadDeferred as error:
                yield DocumentDeferred(request.job, str(error))
            else:
                yield DocumentFinished(request.job)

    def unload(self) -> None:
        self.ready = False

    def stop(self) -> None:
        self.ready = False


class JobBench:
    """One inbox, its journal, and a daemon's context whose answers a test can change."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.inbox = folder / "in"
        self.inbox.mkdir()
        self.now = 1000.0
        self.journal = Journal(folder, clock=lambda: self.now)
        self.configure({"settle": 0.1}, submit={"settle": 0})
        self.backend = ScriptedBackend(reads())
        self.stopping = False
        self.pauses: list[bool] = []
        self.wants_news = False
        self.rescans = 0
        self.wakeups = 0

    def configure(self, *inboxes: dict[str, Any], **tables: Any) -> None:
        """The tables of the inboxes (the bench's own, unless they name another) and others."""
        inbox = [{"path": str(self.inbox), **table} for table in inboxes]
        self.config = parse_config({"model": {"path": "pocket"}, "inbox": inbox, **tables}, "test")
        self._runner: JobRunner | None = None

    @property
    def runner(self) -> JobRunner:
        """The job runner; a new configuration makes a new one."""
        if self._runner is None:
            self._runner = JobRunner(self.config, self.journal, backend=self.backend, context=self)
        return self._runner

    def drop(
        self, name: str = "scan.png", *, data: bytes = b"picture", age_s: float = 3600
    ) -> Path:
        """A stable file in the inbox, in the journal."""
        path = self.inbox / name
        path.write_bytes(data)
        os.utime(path, (time.time() - age_s, time.time() - age_s))
        assert self.journal.jobs.add(path, self.inbox, fingerprint=fingerprint(path))
        return path

    def submit(self, path: Path, data: bytes = b"picture") -> str:
        """A submitted file; returns its job."""
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        return self.journal.jobs.submit(path, fingerprint(path))

    def take(self) -> Job:
        """The next job."""
        job = self.journal.jobs.take()
        assert job is not None
        return job

    def run(self, answer: Answer | None = None) -> Job:
        """Run the next job; the backend answers it with ``answer``."""
        if answer is not None:
            self.backend.answer = answer
        job = self.take()
        self.runner.run(job)
        return job

    def counts(self) -> dict[str, int]:
        """The number of jobs by state, without zeros."""
        return {state: n for state, n in self.journal.history.counts().items() if n}

    def failure(self) -> Job:
        """The only failure."""
        (job,) = self.journal.history.failures()
        return job

    def sql(self, statement: str, *values: Any) -> None:
        """Change the journal behind ocrd's back."""
        with sqlite3.connect(self.folder / FILE_NAME) as database:
            database.execute(statement, values)
        database.close()

    def is_stopping(self) -> bool:
        return self.stopping

    def is_pausing(self) -> bool:
        return self.pauses.pop(0) if self.pauses else False

    def request_rescan(self) -> None:
        self.rescans += 1

    def wants_notification(self, job: Job, state: JobState) -> bool:
        return self.wants_news

    def wake_completion(self) -> None:
        self.wakeups += 1


def fingerprint(path: Path) -> Fingerprint:
    """The fingerprint of a file that exists."""
    found = stat_file(path).fingerprint
    assert found is not None
    return found
