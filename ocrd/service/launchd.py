"""The service under launchd. The order of calls is what public experience has shown to hold:

* ``bootout`` returns before the service is gone, and ``bootstrap`` fails with 5 until it is: ask
until it is unknown.
* ``kickstart -k`` right behind ``bootstrap`` kills the process that has only just begun.
* ``kickstart`` starts what was loaded, not what the file says now.
* Whether a service is there is asked with ``print``, of whose answer the exit code alone is an
interface.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from ocrd import system_commands
from ocrd.errors import ServiceError
from ocrd.service.launchctl import Verdict, is_disabled, verdict
from ocrd.service.manager import Daemon, State
from ocrd.system_commands import LABEL, CommandResult

# As in the plist: seconds between SIGTERM and SIGKILL.
EXIT_TIMEOUT = 60.0
DRAIN = EXIT_TIMEOUT + 10.0
# Seconds in which ``bootstrap`` is tried again.
BOOTSTRAP = 15.0
PAUSE = 0.5
# Seconds for the daemon to show itself after ``bootstrap``, and after a ``kickstart``.
FIRST_START = 5.0
SECOND_START = 15.0
# What ``kickstart`` says of a service that went away between two calls: 3, 113, and on some
# releases 5 or 125.
_GONE = (Verdict.UNKNOWN, Verdict.UNCLEAR, Verdict.NO_DOMAIN)

_STARTING = (Verdict.DONE, Verdict.BUSY)


@dataclass
class Launchd:
    file: Path
    daemon: Daemon
    # ``gui/501``, or ``user/501`` for those who never log in at the screen.
    domain: str
    call: Callable[..., CommandResult] = field(
        default_factory=lambda: partial(system_commands.run_command, "launchctl")
    )
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    name: str = "launchd"

    @property
    def kind(self) -> str:
        """``gui`` or ``user``."""
        return self.domain.partition("/")[0]

    @property
    def target(self) -> str:
        return f"{self.domain}/{LABEL}"

    def check(self) -> None:
        if system_commands.user_id() == 0:
            raise ServiceError("ocrd is a service of one user: call it as yourself, without sudo")
        answer = self.call("print", self.domain)
        if verdict(answer) is not Verdict.DONE:
            raise self._refused("print", answer)

    def load(self) -> None:
        started = time.time()
        self._unload()
        self._bootstrap()
        self._see_it_run(started)

    def start(self) -> None:
        started = time.time()
        if self._known():
            answer = self.call("kickstart", self.target)
            if verdict(answer) in _GONE:
                self._bootstrap()
            elif verdict(answer) not in _STARTING:
                raise self._refused("kickstart", answer)
        else:
            self._bootstrap()
        self._see_it_run(started)

    def stop(self) -> bool:
        if not self._known():
            return False
        self._unload()
        return True

    def restart(self, *, changed: bool) -> None:
        if changed or not self._known():
            self.load()
            return
        started = time.time()
        answer = self.call("kickstart", "-k", self.target, timeout_s=DRAIN)
        if verdict(answer) in _GONE:
            self.load()
            return
        if verdict(answer) not in _STARTING:
            raise self._refused("kickstart -k", answer)
        self._see_it_run(started)

    def clear(self) -> None:
        """`disable` is remembered beyond the file.

        A later installation should not find itself switched off.
        """
        self.call("enable", self.target)

    def state(self) -> State:
        installed = self.file.exists()
        try:
            loaded = self._known()
            disabled = is_disabled(LABEL, self.call("print-disabled", self.domain).stdout)
        except ServiceError as error:
            return State(self.name, self.file, installed, trouble=str(error))
        return State(self.name, self.file, installed, loaded, disabled)

    def _unload(self) -> None:
        """Boot it out and wait until launchd does not know it any more."""
        answer = self.call("bootout", self.target)
        match verdict(answer):
            case Verdict.UNKNOWN:
                return
            case (
                Verdict.DONE | Verdict.BUSY | Verdict.UNCLEAR
            ):  # 5 has been seen where there was nothing to end
                pass
            case _:
                raise self._refused("bootout", answer)
        deadline = self.clock() + DRAIN
        while self._known():
            if self.clock() > deadline:
                raise ServiceError(
                    f"the service did not end within {DRAIN:.0f} s; see: launchctl print {self.target}"
                )
            self.sleep(PAUSE)

    def _bootstrap(self) -> None:
        self._enable()
        deadline = self.clock() + BOOTSTRAP
        while True:
            answer = self.call("bootstrap", self.domain, str(self.file))
            match verdict(answer):
                case Verdict.DONE:
                    return
                case Verdict.UNCLEAR | Verdict.BUSY:
                    if self._known():
                        return  # somebody loaded it meanwhile
                case Verdict.DISABLED:
                    self._enable()
                case _:
                    raise self._refused("bootstrap", answer)
            if self.clock() > deadline:
                raise self._refused("bootstrap", answer)
            self.sleep(1.0)

    def _enable(self) -> None:
        answer = self.call("enable", self.target)
        if verdict(answer) is not Verdict.DONE:
            raise self._refused("enable", answer)

    def _see_it_run(self, since: float) -> None:
        if self.daemon.wait_for(FIRST_START, since):
            return
        # Registered, but no process came of it (seen after an upgrade of macOS): ask for one,
        # without -k.
        answer = self.call("kickstart", self.target)
        if verdict(answer) not in _STARTING:
            raise self._refused("kickstart", answer)
        if not self.daemon.wait_for(SECOND_START, since):
            raise ServiceError(
                "launchd has taken the service, but it does not run; ocrd logs, or launchd.log beside ocrd.log, may "
                f"say why, and launchctl print {self.target} shows its last exit code; ocrd restart may help"
            )

    def _known(self) -> bool:
        """Whether launchd has the service, be it still ending."""
        answer = self.call("print", self.target)
        match verdict(answer):
            case Verdict.DONE | Verdict.BUSY:
                return True
            case Verdict.UNKNOWN:
                return False
        raise self._refused("print", answer)

    def _refused(self, verb: str, answer: CommandResult) -> ServiceError:
        match verdict(answer):
            case Verdict.NO_DOMAIN if self.domain.startswith("gui/"):
                return ServiceError(
                    "nobody is logged in at this Mac's screen as this user, so launchd has no place for the service "
                    f"(launchctl {verb}: {answer.exit_code}); log in there, or use: ocrd install --domain user"
                )
            case Verdict.UNCLEAR:
                return ServiceError(
                    f"launchd does not take the service (launchctl {verb}: 5, {answer.last_line}); see that {self.file} is "
                    "yours and that System Settings, General, Login Items allows ocrd in the background"
                )
        return ServiceError(
            f"launchctl {verb} {self.target} failed with {answer.exit_code} ({answer.last_line})"
        )
