"""Which policy a job follows: that of its inbox, or that of submitted files."""

from __future__ import annotations

import contextlib
from pathlib import Path

from ocrd.config import Config, FilePolicy, InboxConfig
from ocrd.journal import Job
from ocrd.outputs.destination import Destination, preferred_destination


def inbox_of(config: Config, job: Job) -> InboxConfig | None:
    """The inbox that the file was dropped into or, when submitted, is in; None for others."""
    for inbox in config.inbox:
        if job.inbox == inbox.path:
            return inbox
        if job.inbox is None and _parent_that_is(inbox.path, job.path) is not None:
            return inbox
    return None


def policy_for(config: Config, job: Job) -> FilePolicy | None:
    """The job's policy; None when its inbox is no longer configured."""
    inbox = inbox_of(config, job)
    if inbox is None and job.inbox is None:
        return config.submit
    return inbox


def default_destination(config: Config, job: Job, *, policy: FilePolicy) -> Destination:
    """Where the job's sidecars go when no user's file is in the way."""
    inbox = inbox_of(config, job)
    if inbox is None:
        return preferred_destination(job.path, policy.name, inbox=job.path.parent, output=None)
    root = inbox.path
    if job.inbox is None:
        root = _parent_that_is(inbox.path, job.path) or inbox.path
    return preferred_destination(job.path, policy.name, inbox=root, output=inbox.output)


def _parent_that_is(folder: Path, path: Path) -> Path | None:
    """``folder`` in the spelling of ``path``, whatever links, case and Unicode form lead there."""
    for parent in path.parents:
        with contextlib.suppress(OSError):
            if parent.samefile(folder):
                return parent
    return None
