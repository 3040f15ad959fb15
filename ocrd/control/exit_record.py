"""Why the daemon ended.

Kept for ``ocrd status``, as a service's last words go where nobody looks.
"""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from ocrd.errors import OcrdError
from ocrd.files import write_atomically

FILE = "ended.json"
# Exit codes of what no new start can mend: usage, configuration, model.
PERMANENT = frozenset({2, 4, 5})


@dataclass(frozen=True)
class LastExit:
    # Seconds since 1970.
    at: float
    code: int
    message: str


def record_exit(state: Path, error: Exception) -> None:
    """Keep it; a state folder that cannot be written may be the very reason, so this never
    raises.
    """
    if isinstance(error, OcrdError):
        ended = LastExit(time.time(), error.exit_code, str(error))
    else:
        ended = LastExit(
            time.time(), OcrdError.exit_code, f"ocrd failed ({type(error).__name__}: {error})"
        )
    with contextlib.suppress(OSError):
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        text = json.dumps(asdict(ended))  # ASCII: a name in the message may be no UTF-8
        write_atomically(state / FILE, text.encode())


def last_exit(state: Path) -> LastExit | None:
    """None when the last daemon ended as it was told to, or never did."""
    try:
        return LastExit(**json.loads((state / FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def clear_last_exit(state: Path) -> None:
    with contextlib.suppress(OSError):
        (state / FILE).unlink(missing_ok=True)


def service_exit_code(code: int) -> int:
    """What a service manager is told.

    0 for what lasts, as launchd starts again, for ever, whatever ends with another.

    systemd has a list of its own for that (``RestartPreventExitStatus``), and the same codes.
    """
    return 0 if code in PERMANENT else code
