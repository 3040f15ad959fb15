"""What becomes of one job.

Read by the worker, written as sidecars; or tried again, or failed with its reason.
"""

from __future__ import annotations

import sqlite3
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

from ocrd.config import Config, FilePolicy
from ocrd.daemon.file_policy import first_choice, rules_for
from ocrd.errors import OcrdError
from ocrd.files import hash_bytes, hash_file
from ocrd.inbox.file_state import is_deleted, remaining_settle_s, stat_file, unavailable_reason
from ocrd.journal import Job, Journal, reading_from
from ocrd.outputs import sidecar
from ocrd.types import Fallback
from ocrd.worker.from_config import provenance, read_request
from ocrd.worker.process import Ready, Refused, Transient, Worker, WorkerDied, WorkerRetired

# A file that ends this many workers, the last one on the CPU alone, is failed, and the rest go on.
CRASHES_ALLOWED = 3
MAYBE_UNFINISHED = frozenset({"damaged", "empty", "unsupported"})
# Seconds since the last write within which a broken file may be an unfinished one (scanners pause
# up to 4 s).
STILL_WRITING = 6.0
# Seconds before a job that failed for a passing reason is tried again.
BACK_OFF = (5.0, 30.0, 120.0, 600.0)
# A day, nearly: a submitted file on a disk that stays away that long is failed.
TRIES_OUT_OF_REACH = 150

# Pictures that are read together with others; a TIFF may have many pages.
ONE_PAGE = frozenset(
    {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".heic", ".heif", ".avif", ".jp2"}
)
# Bytes of such a picture.
SMALL = 20_000_000
# Queued jobs among which companions are looked for.
LOOK_AT_MOST = 32


@dataclass(frozen=True)
class _Prepared:
    """A job that is about to be read."""

    job: Job
    rules: FilePolicy
    first: sidecar.Destination
    source: sidecar.Source
    started: float


class JobRunner:
    """Takes each job to its end, or hands it back; every way out is written in the journal."""

    def __init__(
        self,
        config: Config,
        journal: Journal,
        *,
        worker: Worker,
        stopping: Callable[[], bool],
        look_again: Callable[[], None],
        pausing: Callable[[], bool] = lambda: False,
        wanted: Callable[[Job, bool], bool] = lambda _job, _read: False,
        tell: Callable[[], None] = lambda: None,
    ) -> None:
        """``stopping`` and ``pausing``: no page is begun any more.

        ``wanted``: whether somebody is to be told of a job's end, which ``tell`` then announces.
        """
        self._config = config
        self._journal = journal
        self._worker = worker
        self._stopping = stopping
        self._pausing = pausing
        self._look_again = look_again
        self._wanted = wanted
        self._tell = tell
        self._last_ready: Ready | None = None
        # Jobs that used up a worker: the next one does not give up so soon.
        self._retired: set[str] = set()
        # Jobs that were in a batch which came to nothing: read by themselves from now on.
        self._alone: set[str] = set()
        # What befell a job's pages in workers that are gone, for its sidecar.
        self._mishaps: defaultdict[str, list[Fallback]] = defaultdict(list)
        self._log = structlog.get_logger(component="reader")

    def handle(self, job: Job) -> None:
        """Never raises for anything that has to do with this one file."""
        self._guarded(job, lambda: self._read_and_write(job))

    def companions(self, job: Job) -> list[Job]:
        """Small pictures that wait beside ``job`` and are read with it, taken from the journal.

        None for most jobs.
        """
        room = (self._last_ready.batch if self._last_ready else 1) - 1
        if room < 1 or not self._may_join(job):
            return []
        rules = rules_for(self._config, job)  # what was submitted may lie in different inboxes
        due = self._journal.due(job.inbox, LOOK_AT_MOST)
        waiting = [
            other
            for other in due
            if self._may_join(other) and rules_for(self._config, other) == rules
        ]
        return [taken for other in waiting[:room] if (taken := self._journal.take_this(other.id))]

    def handle_together(self, jobs: Sequence[Job]) -> None:
        """Read pictures at once.

        What befalls one of them is its own affair. Never raises, as `handle`.
        """
        waiting: dict[str, _Prepared] = {}
        for job in jobs:
            self._guarded(job, partial(self._note, job, waiting))
        if len(waiting) == 1:  # the others are gone, or done already: one is read as ever
            _, only = waiting.popitem()
            self._guarded(only.job, lambda: self._read_and_write(only.job))
        try:
            if waiting:
                self._read_together(waiting)
        except (OcrdError, OSError) as error:
            if not self._stopping():
                self._log.warning(
                    "pictures that were read together are read one by one", error=str(error)
                )
        except Exception:
            self._log.exception("reading together failed; the pictures are read one by one")
        for job_id in waiting:
            self._alone.add(job_id)
            self._journal.hand_back(job_id)

    def _note(self, job: Job, waiting: dict[str, _Prepared]) -> None:
        if prepared := self._prepare(job):
            waiting[job.id] = prepared

    def _read_together(self, waiting: dict[str, _Prepared]) -> None:
        """Each picture leaves ``waiting`` when it is concluded."""
        ready = self._last_ready = self._worker.start()
        task = next(iter(waiting.values())).rules.task
        requests = [
            read_request(self._config, job_id, path=p.job.path, task=task)
            for job_id, p in waiting.items()
        ]
        for message in self._worker.read_together(requests):
            prepared = waiting.get(message.get("job", ""))
            if prepared is None:
                continue
            job = prepared.job
            match message["event"]:
                case "page":
                    self._journal.keep_page(job.id, reading_from(message["reading"]))
                case "finished":
                    self._guarded(job, partial(self._conclude, prepared, ready))
                case "refused":
                    self._after_refusal(
                        job, Refused(message["reason"], message["message"], error=message["error"])
                    )
                case "transient":
                    self._after_trouble(job, Transient(message["message"]))
            if message["event"] in ("finished", "refused", "transient"):
                del waiting[job.id]

    def _may_join(self, job: Job) -> bool:
        known = job.id in self._alone or job.id in self._retired or job.crashes > 0
        return not known and job.path.suffix.lower() in ONE_PAGE and job.fingerprint.size <= SMALL

    def _guarded(self, job: Job, what: Callable[[], None]) -> None:
        """Do what has to do with ``job``; every way out is written in the journal."""
        try:
            what()
        except WorkerDied as error:
            self._after_death(job, error)
        except WorkerRetired as error:
            self._after_retirement(job, error)
        except Refused as error:
            self._after_refusal(job, error)
        except (Transient, OSError) as error:
            self._after_trouble(job, error)
        except sqlite3.Error:
            # the journal's trouble is not this file's: the loop waits, and goes on with all of them
            raise
        except Exception as error:
            # A fault of ours: kept whole in the log, counted like a crash, and the rest go on.
            self._log.exception("reading failed", file=str(job.path))
            self._count_crash(
                job, f"{job.path.name}: ocrd failed ({type(error).__name__}: {error})"
            )

    def _prepare(self, job: Job) -> _Prepared | None:
        """What reading and writing need to know; None when there is nothing to do any more."""
        rules = rules_for(self._config, job)
        if rules is None:
            raise Refused(
                "no-inbox",
                f"{job.path}: its inbox {job.inbox} is no longer configured",
                error="ConfigError",
            )
        if not self._unchanged(job):
            return None
        if why := unavailable_reason(job.path):
            raise Transient(f"{job.path.name}: {why}")
        # An inbox has seen to it that nobody writes any more; a submitted file may have come just
        # now.
        if (
            job.inbox is None
            and (wait := remaining_settle_s(job.path, rules.settle, now=time.time())) > 0
        ):
            self._journal.hand_back(job.id, wait, tried=False)
            return None
        first = first_choice(self._config, job, rules=rules)
        source = sidecar.Source(job.path.name, job.fingerprint.size, hash_file(job.path))
        if there := sidecar.complete_set(first, source.sha256, formats=rules.formats):
            self._log.info("its sidecars are there already", file=str(job.path))
            # Those of a journal that was lost were told of in their time, those of a disk that has
            # another number now by their own job.
            news = self._wrote(job.path, there.path("json")) and not self._journal.done_before(job)
            self._finish(job, [there.path(format_) for format_ in rules.formats], news=news)
            return None
        return _Prepared(job, rules, first, source, time.monotonic())

    def _read_and_write(self, job: Job) -> None:
        prepared = self._prepare(job)
        if prepared is None:
            return
        on_cpu = job.crashes == CRASHES_ALLOWED - 1
        ready = self._last_ready = self._worker.start(on_cpu=on_cpu)
        read_so_far = len(self._journal.pages(job.id))
        task = prepared.rules.task
        fresh = job.id in self._retired
        request = read_request(
            self._config,
            job.id,
            path=job.path,
            task=task,
            start=read_so_far,
            fresh=fresh,
            alone=job.crashes > 0,
        )
        for message in self._worker.read(request, on_cpu=on_cpu):
            if message["event"] == "page":
                self._journal.keep_page(job.id, reading_from(message["reading"]))
                if self._pausing():
                    # the journal has the pages so far; the worker, in the middle of its document,
                    # is ended
                    break
        else:
            self._conclude(prepared, ready)
            return
        self._log.info("held back", file=str(job.path), pages=message["reading"]["index"] + 1)
        self._journal.hand_back(job.id)

    def _conclude(self, prepared: _Prepared, ready: Ready) -> None:
        """All pages are in the journal: write them as sidecars."""
        job = prepared.job
        rules = prepared.rules
        if not self._unchanged(job):
            return
        pages = self._journal.pages(job.id)
        mishaps = self._mishaps.get(job.id, ())
        contents = sidecar.render(
            prepared.source,
            provenance(ready),
            task=rules.task,
            pages=pages,
            formats=rules.formats,
            mishaps=mishaps,
        )
        where = self._write(job, prepared.first, contents=contents)
        self._finish(job, [where.path(format_) for format_ in contents])
        seconds = round(time.monotonic() - prepared.started, 2)
        self._log.info("done", job=job.id, file=str(job.path), pages=len(pages), seconds=seconds)

    def _finish(self, job: Job, sidecars: Sequence[Path], *, news: bool = True) -> None:
        """Its sidecars are there: the journal says so, and who is to be told is told from there."""
        tell = news and self._wanted(job, True)  # noqa: FBT003
        self._journal.finish(job.id, tell=tell, sidecars=sidecars)
        self._forget(job)
        if tell:
            self._tell()

    def _wrote(self, source: Path, path: Path) -> bool:
        """Whether what stands at ``path`` is what we wrote there for this very picture and
        nobody edited.
        """
        return self._journal.wrote(source, path, sha256=hash_file(path))

    def _write(
        self, job: Job, first: sidecar.Destination, *, contents: dict[str, bytes]
    ) -> sidecar.Destination:
        new = {f".{format_}": hash_bytes(data) for format_, data in contents.items()}
        source = job.path

        def ours(path: Path) -> bool:
            if path.is_symlink() or not path.is_file():
                return False
            # It already says just what we would write, or it is ours.
            return hash_file(path) == new.get(path.suffix) or self._wrote(source, path)

        where = sidecar.choose_destination(first, tuple(contents), ours=ours)
        planned = {where.path(format_): new[f".{format_}"] for format_ in contents}
        self._journal.plan_outputs(source, planned)
        sidecar.write_set(where, contents, ours=ours)
        self._journal.settle_outputs(source, planned)
        return where

    def _forget(self, job: Job) -> None:
        self._retired.discard(job.id)
        self._alone.discard(job.id)
        self._mishaps.pop(job.id, None)

    def _unchanged(self, job: Job) -> bool:
        """Whether the file is still the one that settled.

        Else its job is dropped, for the new one gets its own.

        No inbox would find a submitted file again: its job begins anew with what is there now.
        Raises Transient when it is out of reach, on a disk that is away, say.
        """
        now = stat_file(job.path).fingerprint
        if now == job.fingerprint:
            return True
        is_gone = is_deleted(job.path, job.fingerprint)
        if job.inbox is None and now is None and not is_gone:
            raise Transient(f"{job.path}: it cannot be reached, or is a plain file no more")
        self._log.info(
            "the file is gone" if is_gone else "the file changed; it is read anew",
            file=str(job.path),
        )
        self._forget(job)
        if job.inbox is None and now is not None:
            self._journal.refresh(job.id, job.path, fingerprint=now)
            return False
        self._journal.drop(job.id)
        self._look_again()
        return False

    def _after_refusal(self, job: Job, error: Refused) -> None:
        try:
            if not self._unchanged(job):
                return
        except Transient as away:
            self._after_trouble(job, away)
            return
        age = time.time() - job.fingerprint.mtime_ns / 1e9
        if error.reason in MAYBE_UNFINISHED and job.attempts == 1 and 0 <= age < STILL_WRITING:
            self._log.info(
                "it looks unfinished; looking again", file=str(job.path), reason=error.reason
            )
            self._journal.hand_back(job.id, STILL_WRITING, message=str(error))
        else:
            self._fail(job, error.reason, message=str(error))

    def _after_trouble(self, job: Job, error: Exception) -> None:
        if is_deleted(job.path, job.fingerprint):
            self._unchanged(job)
            return
        if job.inbox is None and job.attempts >= TRIES_OUT_OF_REACH:
            self._fail(
                job,
                "unreachable",
                message=f"{error}; it was tried for a day; when it is back: ocrd retry",
            )
            return
        wait = BACK_OFF[min(job.attempts - 1, len(BACK_OFF) - 1)]
        self._log.warning("trying again later", file=str(job.path), seconds=wait, error=str(error))
        self._journal.hand_back(job.id, wait, message=str(error))

    def _after_death(self, job: Job, error: WorkerDied) -> None:
        if self._stopping():
            self._journal.hand_back(job.id)
        else:
            self._log.warning("the worker died", file=str(job.path), error=str(error))
            self._note_crash(job, str(error))
            self._count_crash(job, f"{job.path.name}: {error}")

    def _note_crash(self, job: Job, message: str) -> None:
        ready, page = self._last_ready, len(self._journal.pages(job.id))
        then = "cpu" if job.crashes + 2 == CRASHES_ALLOWED else "fresh-worker"
        device, dtype = (ready.device, ready.dtype) if ready else ("cpu", "float32")
        self._mishaps[job.id].append(Fallback(page, "crash", message, device, dtype, then))

    def _after_retirement(self, job: Job, error: WorkerRetired) -> None:
        self._log.warning(
            "the worker is used up; a new one goes on", file=str(job.path), error=str(error)
        )
        self._mishaps[job.id] += [Fallback(**fallback) for fallback in error.fallbacks]
        if job.id in self._retired:  # not again and again: the next but one is on the CPU alone
            self._count_crash(job, f"{job.path.name}: {error}")
            return
        self._retired.add(job.id)
        self._journal.hand_back(job.id)

    def _count_crash(self, job: Job, message: str) -> None:
        if job.crashes + 1 >= CRASHES_ALLOWED:
            self._fail(
                job, "crash", message=f"{message}, {CRASHES_ALLOWED} times; it is left unread"
            )
        else:
            self._journal.hand_back(job.id, message=message, crashed=True)

    def _fail(self, job: Job, reason: str, *, message: str) -> None:
        self._forget(job)
        self._log.error("failed", file=str(job.path), reason=reason, error=message)
        tell = self._wanted(job, False)  # noqa: FBT003
        self._journal.fail(job.id, reason, message=message, tell=tell)
        if tell:
            self._tell()
