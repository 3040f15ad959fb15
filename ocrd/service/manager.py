"""What a service manager is asked for, whichever it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ocrd import system_commands
from ocrd.control.exit_record import last_exit
from ocrd.control.lock import is_running
from ocrd.errors import ServiceError
from ocrd.journal import FILE, Journal


@dataclass(frozen=True)
class State:
    """How the service stands."""

    # None where there is no such thing.
    manager: str | None
    file: Path | None
    installed: bool
    # The manager has it, and starts it again when it crashes.
    loaded: bool = False
    disabled: bool = False
    # Why more cannot be said.
    trouble: str | None = None


class Manager(Protocol):
    """launchd or systemd. All but `state` raise ServiceError, with a sentence, when it does not
    do as it is told.
    """

    @property
    def name(self) -> str: ...

    @property
    def file(self) -> Path:
        """Its description of our service."""

    def check(self) -> None:
        """Whether it can be spoken to at all."""

    def load(self) -> None:
        """Take the service's file as it is now, and start it; what runs is stopped before."""

    def start(self) -> None: ...

    def stop(self) -> bool:
        """False when it did not run. It starts again at the next login."""

    def restart(self, *, changed: bool) -> None:
        """With ``changed`` its file is taken anew."""

    def clear(self) -> None:
        """Forget what it remembers of the service, whose file is gone."""

    def state(self) -> State: ...


@dataclass(frozen=True)
class Daemon:
    """The daemon as its state folder tells: what a manager says of it is not an interface."""

    folder: Path
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def running(self) -> bool:
        return is_running(self.folder)

    def fact(self) -> Mapping[str, Any]:
        """Its pid, since when, started by whom.

        Empty when none runs, of a former one when it is only just starting.
        """
        if not self.running() or not (self.folder / FILE).exists():
            return {}
        journal = Journal(self.folder)
        try:
            fact: dict[str, Any] | None = journal.fact("daemon")
            return fact or {}
        finally:
            journal.close()

    def wait_for(self, seconds: float, since: float) -> bool:
        """Until a daemon runs that began after ``since``, seconds from 1970; False when none does.

        Raises ServiceError when one began and ended for good.
        """
        deadline = self.clock() + seconds
        while True:
            if self.fact().get("since", 0.0) >= since:
                return True
            ended = last_exit(self.folder)
            if ended and ended.at >= since:
                raise ServiceError(
                    f"the service started and ended: {ended.message}; then: ocrd start"
                )
            if self.clock() > deadline:
                return False
            self.sleep(0.1)


def refuse_inside(what: str) -> None:
    """Raises ServiceError when a command would end the very process that runs it: a hook's, say."""
    if manager := system_commands.service_manager():
        raise ServiceError(
            f"ocrd {what} runs inside the service itself ({manager}), and would end with it"
        )
