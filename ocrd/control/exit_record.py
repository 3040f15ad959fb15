"""Why the daemon ended, for ``ocrd status``: nobody reads the standard error of a service."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from ocrd.errors import ExitCode, OcrdError
from ocrd.files import write_atomically

FILE_NAME = "last-exit.json"
# What a new start cannot fix.
PERMANENT = frozenset({ExitCode.USAGE, ExitCode.CONFIGURATION, ExitCode.MODEL})


@dataclass(frozen=True)
class LastExit:
    """An end that nobody asked for.

    Attributes:
        at: Seconds since 1970.
        code: The exit code.
        message: What happened, and what to do.
    """

    at: float
    code: int
    message: str


def record_exit(state: Path, error: Exception) -> None:
    """Record why the daemon ends; never raises, as the state folder may be the very reason."""
    if isinstance(error, OcrdError):
        last_exit = LastExit(time.time(), int(error.exit_code), str(error))
    else:
        message = f"ocrd failed ({type(error).__name__}: {error})"
        last_exit = LastExit(time.time(), int(ExitCode.UNEXPECTED), message)
    with contextlib.suppress(OSError):
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        text = json.dumps(asdict(last_exit))  # ASCII: a name in the message may not be UTF-8
        write_atomically(state / FILE_NAME, text.encode())


def read_last_exit(state: Path) -> LastExit | None:
    """The recorded end; None when the last daemon ended as asked, or never did."""
    try:
        return LastExit(**json.loads((state / FILE_NAME).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def clear_last_exit(state: Path) -> None:
    """Forget the recorded end."""
    with contextlib.suppress(OSError):
        (state / FILE_NAME).unlink(missing_ok=True)


def service_exit_code(code: int) -> int:
    """The exit code for launchd: 0 for permanent errors.

    launchd starts a service again and again, whatever else it ends with. systemd has a list of its
    own for these codes (``RestartPreventExitStatus``).
    """
    return 0 if code in PERMANENT else code
