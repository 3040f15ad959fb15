"""Whose rules a job is read by.

Its inbox's, or those for files that were submitted where they lie.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from ocrd.config import Config, FilePolicy, InboxConfig
from ocrd.journal import Job
from ocrd.outputs.sidecar import Destination, destination


def inbox_of(config: Config, job: Job) -> InboxConfig | None:
    """The inbox in which the file came or, submitted, happens to lie; None for others."""
    for inbox in config.inbox:
        if job.inbox == inbox.path or (job.inbox is None and _as_in(inbox.path, job.path)):
            return inbox
    return None


def rules_for(config: Config, job: Job) -> FilePolicy | None:
    """None when its inbox is no longer configured."""
    inbox = inbox_of(config, job)
    return config.submit if inbox is None and job.inbox is None else inbox


def first_choice(config: Config, job: Job, *, rules: FilePolicy) -> Destination:
    """Where its sidecars go unless somebody's files stand there."""
    inbox = inbox_of(config, job)
    if inbox is None:
        return destination(job.path, rules.name, inbox=job.path.parent, output=None)
    root = inbox.path if job.inbox else _as_in(inbox.path, job.path)
    return destination(job.path, rules.name, inbox=root or inbox.path, output=inbox.output)


def _as_in(folder: Path, path: Path) -> Path | None:
    """``folder`` as ``path`` spells it, whatever links, case and form of Unicode lead there.

    None for other paths.
    """
    for parent in path.parents:
        with contextlib.suppress(OSError):
            if parent.samefile(folder):
                return parent
    return None
