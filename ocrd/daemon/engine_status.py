"""Publishes what the backend does while it gets ready, for ``ocrd status`` and the log."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict

import structlog

from ocrd.errors import JournalError
from ocrd.journal import Journal
from ocrd.status import EngineReady, ModelProgress, PreparationStatus

# Seconds between two lines in the log about a healing that takes long.
HEALING_LOG_INTERVAL_S = 30.0


class EngineStatusPublisher:
    """Receives every status of the backend; called from the thread that runs the jobs."""

    def __init__(self, journal: Journal, clock: Callable[[], float]) -> None:
        self._journal = journal
        self._clock = clock
        self._logged_at = -math.inf
        # Whether a part of the model has been downloaded since `expect_start`.
        self.downloaded = False
        self._log = structlog.get_logger(component="daemon")

    def expect_start(self) -> None:
        """A backend is going to be started."""
        self.downloaded = False

    def publish(self, status: PreparationStatus | EngineReady) -> None:
        """Show ``status`` to other processes; a full disk must not end a healing."""
        try:
            self._journal.status.publish_engine(status)
        except JournalError as error:
            self._log.warning("the journal cannot be written", error=str(error))
        if not isinstance(status, ModelProgress):
            return
        if status.phase == "fetching" and status.done_bytes > 0:
            self.downloaded = True
        if status.state == "healing" and self._clock() - self._logged_at > HEALING_LOG_INTERVAL_S:
            self._logged_at = self._clock()
            self._log.info("healing the model", **asdict(status))
