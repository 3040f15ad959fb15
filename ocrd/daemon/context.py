"""What the parts of the daemon that run jobs need to know from the rest of it."""

from __future__ import annotations

from typing import Protocol

from ocrd.journal import Job, JobState


class DaemonContext(Protocol):
    """The daemon, as the job runner sees it."""

    def is_stopping(self) -> bool:
        """Whether the daemon ends: no page is started any more."""

    def is_pausing(self) -> bool:
        """Whether reading is to pause: no page is started any more."""

    def request_rescan(self) -> None:
        """Walk the inboxes: a file was replaced by another."""

    def wants_notification(self, job: Job, state: JobState) -> bool:
        """Whether a hook, tag or notification follows when ``job`` ends in ``state``."""

    def wake_completion(self) -> None:
        """There is a new job in the outbox."""
