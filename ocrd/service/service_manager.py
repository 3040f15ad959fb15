"""The interface to a service manager, the same for launchd and systemd."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ocrd import system_commands
from ocrd.errors import ServiceError


@dataclass(frozen=True)
class ServiceState:
    """What is known about the service; part of ``ocrd status --json``."""

    # ``launchd`` or ``systemd``; None on other systems.
    manager: str | None
    file: Path | None
    # The service's file exists.
    installed: bool
    # The manager has loaded the service, and starts it again after a crash.
    loaded: bool = False
    disabled: bool = False
    # Why the manager could not be asked.
    error: str | None = None


class ServiceManager(Protocol):
    """launchd or systemd.

    All methods but `state` raise `ServiceError` when the manager does not do what it is asked for.
    """

    @property
    def name(self) -> str:
        """``launchd`` or ``systemd``."""

    @property
    def file(self) -> Path:
        """The file that describes the service to the manager."""

    def check_available(self) -> None:
        """Check that the manager answers and that ocrd may use it."""

    def load(self) -> None:
        """Load the service's file as it is now and start it. A running service is stopped first."""

    def start(self) -> None:
        """Start the service, and wait until it runs."""

    def stop(self) -> bool:
        """Stop the service until the next login.

        Returns:
            Whether it ran.
        """

    def restart(self, *, file_changed: bool) -> None:
        """Stop and start the service; with ``file_changed`` its file is loaded again."""

    def forget(self) -> None:
        """Delete what the manager remembers about the service after its file was removed."""

    def state(self) -> ServiceState:
        """Ask the manager about the service; errors are part of the answer."""


def refuse_inside_service(command: str) -> None:
    """Refuse a command that would end the process that runs it, such as a hook of the daemon.

    Raises:
        ServiceError: This process belongs to the service.
    """
    if manager := system_commands.service_manager():
        raise ServiceError(
            f"ocrd {command} runs inside the service ({manager}) and would stop itself; "
            "run it in a terminal"
        )
