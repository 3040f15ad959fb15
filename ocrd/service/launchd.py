"""The service under launchd.

The order of calls is the one that works according to public reports:

* ``bootout`` returns before the service is gone, and ``bootstrap`` fails with 5 until then. So ask
  until launchd does not know the service any more.
* ``kickstart -k`` immediately after ``bootstrap`` kills the process that has just started.
* ``kickstart`` starts what was loaded, not what the file contains now.
* ``print`` tells whether a service is loaded. Only its exit code is a stable interface.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from ocrd import system_commands
from ocrd.errors import ServiceError
from ocrd.service.daemon_probe import DaemonProbe
from ocrd.service.launchctl import LaunchctlResult, classify, is_disabled
from ocrd.service.service_manager import ServiceState
from ocrd.system_commands import LABEL, CommandResult

# Between SIGTERM and SIGKILL; the same number as in the plist.
EXIT_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = EXIT_TIMEOUT_S + 10.0
# How long ``bootstrap`` is retried.
BOOTSTRAP_TIMEOUT_S = 15.0
BOOTSTRAP_INTERVAL_S = 1.0
POLL_INTERVAL_S = 0.5
# How long the daemon may take to start after ``bootstrap``, and then after a ``kickstart``.
BOOTSTRAP_START_TIMEOUT_S = 5.0
KICKSTART_START_TIMEOUT_S = 15.0
# The answers of ``kickstart`` for a service that went away between two calls: 3, 113, and on some
# releases 5 or 125.
_GONE = (
    LaunchctlResult.NO_SUCH_SERVICE,
    LaunchctlResult.IO_ERROR,
    LaunchctlResult.NO_DOMAIN,
)
_STARTING = (LaunchctlResult.OK, LaunchctlResult.IN_PROGRESS)


@dataclass
class Launchd:
    """One LaunchAgent of one user; implements `ServiceManager`."""

    # The LaunchAgent's property list.
    file: Path
    daemon: DaemonProbe
    # ``gui/501``, or ``user/501`` for users who only log in with ssh.
    domain: str
    launchctl: Callable[..., CommandResult] = field(
        default_factory=lambda: partial(system_commands.run_command, "launchctl")
    )
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    name: str = "launchd"

    @property
    def domain_type(self) -> str:
        """``gui`` or ``user``."""
        return self.domain.partition("/")[0]

    @property
    def target(self) -> str:
        """The service's full name for launchctl."""
        return f"{self.domain}/{LABEL}"

    def in_domain(self, domain_type: str) -> Launchd:
        """Return the same service in another domain: ``gui`` or ``user``."""
        user_id = self.domain.partition("/")[2]
        return replace(self, domain=f"{domain_type}/{user_id}")

    def check_available(self) -> None:
        """See `ServiceManager`."""
        if system_commands.user_id() == 0:
            raise ServiceError("ocrd is a service of one user; run this command without sudo")
        result = self.launchctl("print", self.domain)
        if classify(result) is not LaunchctlResult.OK:
            raise self._error("print", result)

    def load(self) -> None:
        """See `ServiceManager`."""
        started_after = time.time()
        self._unload()
        self._bootstrap()
        self._wait_until_running(started_after)

    def start(self) -> None:
        """See `ServiceManager`."""
        started_after = time.time()
        if self._is_loaded():
            result = self.launchctl("kickstart", self.target)
            if classify(result) in _GONE:
                self._bootstrap()
            elif classify(result) not in _STARTING:
                raise self._error("kickstart", result)
        else:
            self._bootstrap()
        self._wait_until_running(started_after)

    def stop(self) -> bool:
        """See `ServiceManager`."""
        if not self._is_loaded():
            return False
        self._unload()
        return True

    def restart(self, *, file_changed: bool) -> None:
        """See `ServiceManager`."""
        if file_changed or not self._is_loaded():
            self.load()
            return
        started_after = time.time()
        result = self.launchctl("kickstart", "-k", self.target, timeout_s=STOP_TIMEOUT_S)
        if classify(result) in _GONE:
            self.load()
            return
        if classify(result) not in _STARTING:
            raise self._error("kickstart -k", result)
        self._wait_until_running(started_after)

    def forget(self) -> None:
        """See `ServiceManager`.

        launchd remembers `disable` even after the file was removed, and a later installation would
        not start.
        """
        self.launchctl("enable", self.target)

    def state(self) -> ServiceState:
        """See `ServiceManager`."""
        installed = self.file.exists()
        try:
            loaded = self._is_loaded()
            disabled = is_disabled(LABEL, self.launchctl("print-disabled", self.domain).stdout)
        except ServiceError as error:
            return ServiceState(self.name, self.file, installed=installed, error=str(error))
        return ServiceState(
            self.name, self.file, installed=installed, loaded=loaded, disabled=disabled
        )

    def _unload(self) -> None:
        """Boot the service out and wait until launchd does not know it any more."""
        result = self.launchctl("bootout", self.target)
        match classify(result):
            case LaunchctlResult.NO_SUCH_SERVICE:
                return
            case LaunchctlResult.OK | LaunchctlResult.IN_PROGRESS | LaunchctlResult.IO_ERROR:
                pass  # 5 has also been reported for a service that was not loaded
            case _:
                raise self._error("bootout", result)
        deadline = self.clock() + STOP_TIMEOUT_S
        while self._is_loaded():
            if self.clock() > deadline:
                raise ServiceError(
                    f"the service did not stop within {STOP_TIMEOUT_S:.0f} s; "
                    f"see: launchctl print {self.target}"
                )
            self.sleep(POLL_INTERVAL_S)

    def _bootstrap(self) -> None:
        self._enable()
        deadline = self.clock() + BOOTSTRAP_TIMEOUT_S
        while True:
            result = self.launchctl("bootstrap", self.domain, str(self.file))
            match classify(result):
                case LaunchctlResult.OK:
                    return
                case LaunchctlResult.IO_ERROR | LaunchctlResult.IN_PROGRESS:
                    if self._is_loaded():
                        return  # another process loaded it in the meantime
                case LaunchctlResult.DISABLED:
                    self._enable()
                case _:
                    raise self._error("bootstrap", result)
            if self.clock() > deadline:
                raise self._error("bootstrap", result)
            self.sleep(BOOTSTRAP_INTERVAL_S)

    def _enable(self) -> None:
        result = self.launchctl("enable", self.target)
        if classify(result) is not LaunchctlResult.OK:
            raise self._error("enable", result)

    def _wait_until_running(self, started_after: float) -> None:
        if self.daemon.wait_until_running(BOOTSTRAP_START_TIMEOUT_S, started_after=started_after):
            return
        # Loaded, but without a process (reported after upgrades of macOS): request a process,
        # without -k.
        result = self.launchctl("kickstart", self.target)
        if classify(result) not in _STARTING:
            raise self._error("kickstart", result)
        if not self.daemon.wait_until_running(
            KICKSTART_START_TIMEOUT_S, started_after=started_after
        ):
            raise ServiceError(
                "launchd loaded the service, but it does not run; check ocrd logs and launchd.log "
                f"next to ocrd.log; launchctl print {self.target} shows its last exit code; "
                "then try: ocrd restart"
            )

    def _is_loaded(self) -> bool:
        """Return whether launchd knows the service, even if it is stopping."""
        result = self.launchctl("print", self.target)
        match classify(result):
            case LaunchctlResult.OK | LaunchctlResult.IN_PROGRESS:
                return True
            case LaunchctlResult.NO_SUCH_SERVICE:
                return False
        raise self._error("print", result)

    def _error(self, verb: str, result: CommandResult) -> ServiceError:
        match classify(result):
            case LaunchctlResult.NO_DOMAIN if self.domain_type == "gui":
                return ServiceError(
                    "this user is not logged in at this Mac's screen, so launchd cannot run the "
                    f"service (launchctl {verb}: {result.exit_code}); log in there, or run: "
                    "ocrd install --domain user"
                )
            case LaunchctlResult.IO_ERROR:
                return ServiceError(
                    f"launchd refused the service (launchctl {verb}: 5, {result.last_line}); check "
                    f"that {self.file} belongs to you and that System Settings > General > "
                    "Login Items allows ocrd in the background"
                )
        return ServiceError(
            f"launchctl {verb} {self.target} failed with {result.exit_code} ({result.last_line})"
        )
