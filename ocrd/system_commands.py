"""The one edge to the operating system's own programs: where they are, and how long they may take.

Tests put fakes in their places (`PROGRAMS`, `is_macos`). Elsewhere ocrd asks which system this is
only where the kernel or the file system itself differs.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from ocrd.errors import ServiceError

PROGRAMS: dict[str, str] = {
    # By their whole paths: a service's PATH is short, and a user's may hold anything.
    "launchctl": "/bin/launchctl",
    "caffeinate": "/usr/bin/caffeinate",
    "osascript": "/usr/bin/osascript",
    "pbs": "/System/Library/CoreServices/pbs",
    "systemctl": "systemctl",
}
# The service's name for launchd. `.local` belongs to nobody, so nobody else's service has it.
LABEL = "local.ocrd"
# Seconds for one call; launchctl answers in milliseconds, or waits for something that will not
# come.
PATIENCE = 20.0

_MAC = sys.platform == "darwin"


@dataclass(frozen=True)
class CommandResult:
    """What a program said before it ended."""

    code: int
    out: str = ""
    err: str = ""

    @property
    def words(self) -> str:
        """Its last words on standard error, for a sentence."""
        lines = (self.err.strip() or self.out.strip()).splitlines()
        return lines[-1].strip() if lines else "no reason given"


def is_macos() -> bool:
    return _MAC


def user_id() -> int:
    return os.getuid()


def service_manager(environment: Mapping[str, str] = os.environ) -> str | None:
    """Who started this process, or the one that it comes from, as our service; None for a person.

    As the service's own description says, which `ocrd install` writes.
    """
    named = environment.get("OCRD_SERVICE")
    return named if named in ("launchd", "systemd") else None


def run_command(program: str, *arguments: str, seconds: float = PATIENCE) -> CommandResult:
    """Run one of `PROGRAMS` to its end.

    Raises ServiceError when it is not there or takes longer than ``seconds``.
    """
    try:
        done = subprocess.run(
            [PROGRAMS[program], *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            check=False,
            encoding="utf-8",
            errors="backslashreplace",
        )
    except subprocess.TimeoutExpired as error:
        raise ServiceError(
            f"{program} {' '.join(arguments)} gave no answer within {seconds:.0f} s"
        ) from error
    except OSError as error:
        raise ServiceError(f"{PROGRAMS[program]} cannot be run ({error.strerror})") from error
    return CommandResult(done.returncode, done.stdout, done.stderr)
