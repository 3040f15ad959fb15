"""The service under systemd, as a unit of the user, for Linux servers."""

from __future__ import annotations

import getpass
import os
import time
from dataclasses import dataclass
from pathlib import Path

from ocrd import system_commands
from ocrd.errors import ServiceError
from ocrd.service.daemon_probe import DaemonProbe
from ocrd.service.service_manager import ServiceState
from ocrd.system_commands import COMMAND_TIMEOUT_S, CommandResult

UNIT = "ocrd.service"
# The unit gives the daemon 60 s to stop.
STOP_TIMEOUT_S = 75.0
START_TIMEOUT_S = 20.0


@dataclass
class Systemd:
    """One unit of one user; implements `ServiceManager`."""

    # The unit's file.
    file: Path
    daemon: DaemonProbe
    name: str = "systemd"

    def check_available(self) -> None:
        """See `ServiceManager`."""
        if system_commands.user_id() == 0 and "XDG_RUNTIME_DIR" not in os.environ:
            raise ServiceError("ocrd is a service of one user; run this command without sudo")
        self._run("show-environment")

    def load(self) -> None:
        """See `ServiceManager`."""
        started_after = time.time()
        self._run("daemon-reload")
        self._run("enable", UNIT)
        self._run("restart", UNIT, timeout_s=STOP_TIMEOUT_S)
        self._wait_until_running(started_after)

    def start(self) -> None:
        """See `ServiceManager`."""
        started_after = time.time()
        self._run("daemon-reload")
        self._run("start", UNIT)
        self._wait_until_running(started_after)

    def stop(self) -> bool:
        """See `ServiceManager`."""
        if self._systemctl("is-active", UNIT).stdout.strip() in ("inactive", "failed", "unknown"):
            return False
        self._run("stop", UNIT, timeout_s=STOP_TIMEOUT_S)
        return True

    def restart(self, *, file_changed: bool) -> None:
        """See `ServiceManager`."""
        started_after = time.time()
        if file_changed:
            self._run("daemon-reload")
        self._run("restart", UNIT, timeout_s=STOP_TIMEOUT_S)
        self._wait_until_running(started_after)

    def forget(self) -> None:
        """See `ServiceManager`."""
        self._systemctl("daemon-reload")
        self._systemctl("reset-failed", UNIT)

    def disable(self) -> None:
        """Remove the unit from the session's start. Its file must still exist."""
        self._run("disable", UNIT)

    def state(self) -> ServiceState:
        """See `ServiceManager`."""
        installed = self.file.exists()
        try:
            active = self._systemctl("is-active", UNIT)
            if active.exit_code and not active.stdout.strip():
                raise self._error("is-active", active)
            enabled = self._systemctl("is-enabled", UNIT).stdout.strip()
        except ServiceError as error:
            return ServiceState(self.name, self.file, installed=installed, error=str(error))
        return ServiceState(
            self.name,
            self.file,
            installed=installed,
            loaded=active.stdout.strip() in ("active", "activating", "reloading", "deactivating"),
            disabled=installed and enabled in ("disabled", "masked"),
        )

    def _wait_until_running(self, started_after: float) -> None:
        if not self.daemon.wait_until_running(START_TIMEOUT_S, started_after=started_after):
            raise ServiceError(
                "systemd started the service, but it does not run; check ocrd logs and "
                "journalctl --user -u ocrd, then try: ocrd restart"
            )

    def _systemctl(
        self, verb: str, *arguments: str, timeout_s: float = COMMAND_TIMEOUT_S
    ) -> CommandResult:
        return system_commands.run_command(
            "systemctl", "--user", verb, *arguments, timeout_s=timeout_s
        )

    def _run(self, verb: str, *arguments: str, timeout_s: float = COMMAND_TIMEOUT_S) -> None:
        """Call systemctl and raise `ServiceError` when it fails."""
        result = self._systemctl(verb, *arguments, timeout_s=timeout_s)
        if result.exit_code != 0:
            raise self._error(verb, result)

    def _error(self, verb: str, result: CommandResult) -> ServiceError:
        if "bus" in result.stderr.lower():
            return ServiceError(
                f"systemd has no session for this user ({result.last_line}); log in directly, not "
                f"with su or sudo, or run once: loginctl enable-linger {getpass.getuser()}"
            )
        return ServiceError(
            f"systemctl --user {verb} failed with {result.exit_code} ({result.last_line})"
        )
