"""When nothing is read: by the user's request, on battery, or because the model is unloaded."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import structlog

from ocrd.backends.base import Backend
from ocrd.config import Config
from ocrd.daemon.power import Battery
from ocrd.journal import Journal
from ocrd.status import EngineUnloaded

# Seconds without work before a model is unloaded under critical memory pressure: a model that works
# would be loaded again immediately.
MIN_IDLE_UNDER_PRESSURE_S = 60.0
PAUSED_BY_USER = "by hand; go on with: ocrd resume"
PAUSED_ON_BATTERY = "the machine runs on its battery"


class PauseControl:
    """Decides whether jobs may be taken; belongs to the thread that runs the jobs."""

    def __init__(
        self,
        config: Config,
        journal: Journal,
        *,
        backend: Backend,
        battery: Battery,
        memory_is_short: Callable[[], bool],
        clock: Callable[[], float],
    ) -> None:
        self._config = config
        self._journal = journal
        self._backend = backend
        self._battery = battery
        self._memory_is_short = memory_is_short
        self._clock = clock
        # Since when a loaded model has had nothing to read.
        self._idle_since = math.inf
        # The model was unloaded because there was nothing to do; the next file loads it.
        self._unloaded = False
        self._published: str | None = None
        self._log = structlog.get_logger(component="daemon")

    def reason(self) -> str | None:
        """Why nothing may be read; None when reading may continue."""
        if self._journal.status.pause_requested():
            return PAUSED_BY_USER
        if self._config.power.pause_on_battery and self._battery.in_use:
            return PAUSED_ON_BATTERY
        return None

    def pause_s(self) -> float | None:
        """Seconds without taking a job or loading the model; ``inf`` when the end is unknown.

        None when nothing stands in the way.
        """
        reason = self.reason()
        if reason != self._published:
            self._published = reason
            self._journal.status.publish_pause(reason)
            if reason is None:
                self._log.info("resumed")
            else:
                self._log.info("paused", reason=reason)
        if reason is None:
            return self._unloaded_for_s()
        if self._backend.ready:
            self.unload_if_idle()
        else:
            self._publish_unloaded()
        return math.inf

    def note_work(self) -> None:
        """There is something to read."""
        self._idle_since = math.inf

    def unload_if_idle(self) -> bool:
        """Unload a model that has been idle for long enough; returns whether it was."""
        now = self._clock()
        self._idle_since = min(self._idle_since, now)
        idle_s = now - self._idle_since
        unload_after_s = self._config.engine.unload_after
        idle_too_long = 0 < unload_after_s <= idle_s
        if not idle_too_long:
            under_pressure = idle_s >= MIN_IDLE_UNDER_PRESSURE_S and self._memory_is_short()
            if not under_pressure:
                return False
        self._log.info("the model is unloaded until there is something to read")
        self._unloaded = True
        self._backend.unload()
        self._publish_unloaded()
        return True

    def _unloaded_for_s(self) -> float | None:
        """How long an unloaded model stays unloaded: until the next job is due."""
        due_in_s = self._journal.jobs.next_due_in_s()
        if due_in_s == 0.0:
            self._unloaded = False
        if not self._unloaded:
            return None
        return math.inf if due_in_s is None else due_in_s

    def _publish_unloaded(self) -> None:
        if not isinstance(self._journal.status.engine(), EngineUnloaded):
            self._journal.status.publish_engine(EngineUnloaded(time.time()))
