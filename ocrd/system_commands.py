"""The operating system's own programs: where they are and how ocrd runs them.

This is the only module that knows their paths. Tests replace `PROGRAMS` and `is_macos`. Other
modules ask which system this is only where the kernel or the file system itself differs.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from ocrd.errors import ServiceError

# Absolute paths, because a service's PATH is short and a user's PATH may contain anything.
PROGRAMS: dict[str, str] = {
    "launchctl": "/bin/launchctl",
    "caffeinate": "/usr/bin/caffeinate",
    "osascript": "/usr/bin/osascript",
    "pbs": "/System/Library/CoreServices/pbs",
    "systemctl": "systemctl",
}
# The service's label for launchd. `.local` is reserved, so no other service has this name.
LABEL = "local.ocrd"
# launchctl answers in milliseconds, or it waits for something that never happens.
COMMAND_TIMEOUT_S = 20.0

_ON_MACOS = sys.platform == "darwin"


@dataclass(frozen=True)
class CommandResult:
    """How a program ended and what it printed."""

    exit_code: int
    stdout: str = ""
    stderr: str = ""

    @property
    def last_line(self) -> str:
        """The last line that the program printed, for an error message."""
        lines = (self.stderr.strip() or self.stdout.strip()).splitlines()
        return lines[-1].strip() if lines else "no reason given"


def is_macos() -> bool:
    """Return whether this system is macOS."""
    return _ON_MACOS


def user_id() -> int:
    """Return the numeric id of the user who runs this process."""
    return os.getuid()


def service_manager(environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the service manager that started this process or one of its parents.

    The service's file, which `ocrd install` writes, sets the variable that is read here.

    Returns:
        ``launchd`` or ``systemd``; None when a person started the process.
    """
    name = environment.get("OCRD_SERVICE")
    return name if name in ("launchd", "systemd") else None


def run_command(
    program: str, *arguments: str, timeout_s: float = COMMAND_TIMEOUT_S
) -> CommandResult:
    """Run one of `PROGRAMS` and wait until it ends.

    Args:
        program: A key of `PROGRAMS`.
        *arguments: Passed to the program as they are, without a shell.
        timeout_s: Seconds after which the program is killed.

    Raises:
        ServiceError: The program does not exist or took longer than ``timeout_s``.
    """
    try:
        completed = subprocess.run(
            [PROGRAMS[program], *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
            encoding="utf-8",
            errors="backslashreplace",
        )
    except subprocess.TimeoutExpired as error:
        raise ServiceError(
            f"{program} {' '.join(arguments)} did not answer within {timeout_s:.0f} s"
        ) from error
    except OSError as error:
        raise ServiceError(f"cannot run {PROGRAMS[program]} ({error.strerror})") from error
    return CommandResult(completed.returncode, completed.stdout, completed.stderr)
