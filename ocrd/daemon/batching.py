"""Which queued pictures are read together: small ones of one page, of the same policy."""

from __future__ import annotations

from ocrd.config import Config
from ocrd.daemon.file_policy import policy_for
from ocrd.daemon.job_memory import JobMemory
from ocrd.journal import Job, Journal

# Pictures that have one page; a TIFF may have many.
ONE_PAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".heic", ".heif", ".avif", ".jp2"}
)
MAX_PICTURE_BYTES = 20_000_000
# How many queued jobs are considered.
MAX_CANDIDATES = 32


def take_companions(
    job: Job, config: Config, *, journal: Journal, memory: JobMemory, batch: int
) -> list[Job]:
    """Take from the journal what is read together with ``job``; nothing for most jobs.

    Args:
        job: A job that was taken.
        config: The configuration.
        journal: The journal.
        memory: What is known about unfinished jobs.
        batch: Pages that the backend decodes together.
    """
    if batch < 2 or not _can_join(job, memory):
        return []
    # Submitted files may be in different inboxes.
    policy = policy_for(config, job)
    taken: list[Job] = []
    for candidate in journal.jobs.due(job.inbox, MAX_CANDIDATES):
        if len(taken) == batch - 1:
            break
        if _can_join(candidate, memory) and policy_for(config, candidate) == policy:
            companion = journal.jobs.take_by_id(candidate.id)
            if companion is not None:
                taken.append(companion)
    return taken


def _can_join(job: Job, memory: JobMemory) -> bool:
    failed_before = job.crashes > 0 or job.id in memory.read_alone or job.id in memory.exhausted
    one_small_page = (
        job.path.suffix.lower() in ONE_PAGE_SUFFIXES and job.fingerprint.size <= MAX_PICTURE_BYTES
    )
    return one_small_page and not failed_before
