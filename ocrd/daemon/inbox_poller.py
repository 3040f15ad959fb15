"""Polls the inboxes and queues the files that are complete."""

from __future__ import annotations

import math
from collections.abc import Callable

import structlog

from ocrd.config import Config, InboxConfig
from ocrd.daemon.power import SleepWatch
from ocrd.daemon.signals import HEARTBEAT_S, RETRY_DELAY_S, DaemonSignals
from ocrd.documents.kinds import SUFFIXES
from ocrd.errors import ConfigError, JournalError
from ocrd.inbox.inbox import Inbox
from ocrd.journal import Journal
from ocrd.log import truncate_stderr
from ocrd.types import StableFile

# The same with ``--once``, where somebody waits for the end.
ONCE_POLL_INTERVAL_S = 0.2


class InboxPoller:
    """All inboxes of one configuration; belongs to the main thread, but for `request_rescan`."""

    def __init__(
        self,
        config: Config,
        journal: Journal,
        *,
        signals: DaemonSignals,
        clock: Callable[[], float],
    ) -> None:
        self._journal = journal
        self._signals = signals
        self._clock = clock
        self._sleep_watch = SleepWatch()
        self._inboxes = [
            (
                Inbox(
                    inbox.path,
                    SUFFIXES,
                    settle_s=inbox.settle,
                    recursive=inbox.recursive,
                    is_known=journal.jobs.is_known,
                    wake=signals.inbox,
                ),
                inbox,
            )
            for inbox in config.inbox
        ]
        self._log = structlog.get_logger(component="daemon")

    def make_folders(self) -> None:
        """Create the inbox folders that do not exist.

        Raises:
            ConfigError: A folder cannot be created.
        """
        for _, settings in self._inboxes:
            try:
                settings.path.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise ConfigError(
                    f"{settings.path}: the inbox cannot be created ({error.strerror});"
                    " correct inbox.path"
                ) from error

    def start(self) -> None:
        """Start watching."""
        for inbox, _ in self._inboxes:
            inbox.start()

    def stops(self) -> list[Callable[[], None]]:
        """What ends the watching; each may take a second."""
        return [inbox.stop for inbox, _ in self._inboxes]

    def request_rescan(self) -> None:
        """Walk all inboxes at the next poll."""
        for inbox, _ in self._inboxes:
            inbox.request_rescan()

    def is_waiting(self) -> bool:
        """Whether a file is not complete yet, except those that are still in iCloud."""
        return any(
            file.required_quiet_s < math.inf
            for inbox, _ in self._inboxes
            for file in inbox.pending()
        )

    def run(self, *, once: bool, all_done: Callable[[], bool]) -> None:
        """Poll until the daemon ends or, with ``once``, until ``all_done``."""
        while not self._signals.stop.is_set():
            self._signals.inbox.clear()
            if self._signals.stop.is_set():  # set before the clear, which removed its signal
                return
            truncate_stderr()
            asleep_s = self._sleep_watch.slept()
            if asleep_s:
                self._log.info("the machine was asleep; rescanning", seconds=round(asleep_s))
                self.request_rescan()
            for inbox, settings in self._inboxes:
                self._poll(inbox, settings)
            if once and all_done():
                return
            timeout_s = self._next_poll_in_s()
            self._signals.inbox.wait(min(timeout_s, ONCE_POLL_INTERVAL_S) if once else timeout_s)

    def _next_poll_in_s(self) -> float:
        now = self._clock()
        return min([HEARTBEAT_S, *(inbox.next_poll_in_s(now) for inbox, _ in self._inboxes)])

    def _poll(self, inbox: Inbox, settings: InboxConfig) -> None:
        try:
            for stable in inbox.poll(self._clock()):
                self._queue(stable, settings)
        except (OSError, JournalError):
            # What was not queued is found again by the rescan.
            self._log.exception("an inbox cannot be polled; retrying", inbox=str(settings.path))
            inbox.forget_taken()
            self._signals.stop.wait(RETRY_DELAY_S)

    def _queue(self, stable: StableFile, inbox: InboxConfig) -> None:
        job = self._journal.jobs.add(stable.path, inbox.path, fingerprint=stable.fingerprint)
        if job is not None:
            self._log.info("queued", job=job, file=str(stable.path), bytes=stable.fingerprint.size)
            self._signals.jobs.set()
