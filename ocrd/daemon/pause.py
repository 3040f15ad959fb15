"""When nothing is read.

Somebody said so, the machine is on its battery, or there is nothing and the model is away.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import structlog

from ocrd.config import Config
from ocrd.daemon.power import Battery
from ocrd.journal import Journal
from ocrd.worker.process import Worker

# Seconds without work before a model gives way to critical memory pressure: one that works would be
# back at once.
PRESSED_AFTER = 60.0


class Pauses:
    """For the thread that reads."""

    def __init__(
        self,
        config: Config,
        journal: Journal,
        *,
        worker: Worker,
        battery: Battery,
        memory_short: Callable[[], bool],
        clock: Callable[[], float],
    ) -> None:
        self._config = config
        self._journal = journal
        self._worker = worker
        self._battery = battery
        self._memory_short = memory_short
        self._clock = clock
        # Since when a warm model has had nothing to read.
        self._idle_since = math.inf
        # The model was let go for want of work, and comes back with the next.
        self._unloaded = False
        self._said: str | None = None
        self._log = structlog.get_logger(component="daemon")

    def reason(self) -> str | None:
        """Why nothing is to be read, though there may be something; None when it is."""
        if self._journal.fact("pause"):
            return "by hand; go on with: ocrd resume"
        if self._config.power.pause_on_battery and self._battery.in_use:
            return "the machine runs on its battery"
        return None

    def holds(self) -> float | None:
        """Seconds in which neither a job is to be taken nor the model to be loaded, ``inf`` for
        no end that is known.

        None when all is as ever.
        """
        why = self.reason()
        if why != self._said:
            self._said = why
            self._journal.set_fact("paused", why)
            self._log.info("going on" if why is None else "paused", why=why)
        if why is None:
            due = self._journal.next_due_in()
            self._unloaded = self._unloaded and due != 0.0
            return None if not self._unloaded else math.inf if due is None else due
        if not self._worker.warm:
            self._say_unloaded()
        else:
            self.unload_if_idle()
        return math.inf

    def working(self) -> None:
        """There is something to read."""
        self._idle_since = math.inf

    def unload_if_idle(self) -> bool:
        """Let a model go that has had nothing to read for long enough; whether it went."""
        now = self._clock()
        self._idle_since = min(self._idle_since, now)
        idle = now - self._idle_since
        after = self._config.engine.unload_after
        if not 0 < after <= idle and not (idle >= PRESSED_AFTER and self._memory_short()):
            return False
        self._log.info("the model is unloaded until there is something to read")
        self._unloaded = True
        self._worker.rest()
        self._say_unloaded()
        return True

    def _say_unloaded(self) -> None:
        if (self._journal.fact("engine") or {}).get("state") != "unloaded":
            self._journal.set_fact("engine", {"state": "unloaded", "since": time.time()})
