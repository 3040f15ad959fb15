"""The service under systemd, as a unit of the user: for those who run ocrd on a Linux server."""

from __future__ import annotations

import getpass
import os
import time
from dataclasses import dataclass
from pathlib import Path

from ocrd import system_commands
from ocrd.errors import ServiceError
from ocrd.service.manager import Daemon, State
from ocrd.system_commands import CommandResult

UNIT = "ocrd.service"
# Seconds: the unit allows the daemon 60.
STOPPING = 75.0
STARTING = 20.0


@dataclass
class Systemd:
    file: Path
    daemon: Daemon
    name: str = "systemd"

    def check(self) -> None:
        if system_commands.user_id() == 0 and "XDG_RUNTIME_DIR" not in os.environ:
            raise ServiceError("ocrd is a service of one user: call it as yourself, without sudo")
        self._do("show-environment")

    def load(self) -> None:
        started = time.time()
        self._do("daemon-reload")
        self._do("enable", UNIT)
        self._do("restart", UNIT, timeout_s=STOPPING)
        self._see_it_run(started)

    def start(self) -> None:
        started = time.time()
        self._do("daemon-reload")
        self._do("start", UNIT)
        self._see_it_run(started)

    def stop(self) -> bool:
        if self._call("is-active", UNIT).stdout.strip() in ("inactive", "failed", "unknown"):
            return False
        self._do("stop", UNIT, timeout_s=STOPPING)
        return True

    def restart(self, *, changed: bool) -> None:
        started = time.time()
        if changed:
            self._do("daemon-reload")
        self._do("restart", UNIT, timeout_s=STOPPING)
        self._see_it_run(started)

    def clear(self) -> None:
        self._call("daemon-reload")
        self._call("reset-failed", UNIT)

    def disable(self) -> None:
        """Take its link out of the session's start; its file must still be there for that."""
        self._do("disable", UNIT)

    def state(self) -> State:
        installed = self.file.exists()
        try:
            active = self._call("is-active", UNIT)
            if active.exit_code and not active.stdout.strip():
                raise self._refused("is-active", active)
            enabled = self._call("is-enabled", UNIT).stdout.strip()
        except ServiceError as error:
            return State(self.name, self.file, installed, trouble=str(error))
        return State(
            self.name,
            self.file,
            installed,
            active.stdout.strip() in ("active", "activating", "reloading", "deactivating"),
            installed and enabled in ("disabled", "masked"),
        )

    def _see_it_run(self, since: float) -> None:
        if not self.daemon.wait_for(STARTING, since):
            raise ServiceError(
                "systemd has started the service, but it does not run; ocrd logs or journalctl --user -u ocrd may "
                "say why, and ocrd restart may help"
            )

    def _call(
        self, verb: str, *arguments: str, timeout_s: float = system_commands.COMMAND_TIMEOUT_S
    ) -> CommandResult:
        return system_commands.run_command(
            "systemctl", "--user", verb, *arguments, timeout_s=timeout_s
        )

    def _do(
        self, verb: str, *arguments: str, timeout_s: float = system_commands.COMMAND_TIMEOUT_S
    ) -> None:
        answer = self._call(verb, *arguments, timeout_s=timeout_s)
        if answer.exit_code != 0:
            raise self._refused(verb, answer)

    def _refused(self, verb: str, answer: CommandResult) -> ServiceError:
        if "bus" in answer.stderr.lower():
            return ServiceError(
                f"systemd has no session for this user ({answer.last_line}); log in as yourself, not with su or sudo, or "
                f"once: loginctl enable-linger {getpass.getuser()}"
            )
        return ServiceError(
            f"systemctl --user {verb} failed with {answer.exit_code} ({answer.last_line})"
        )
