"""The meaning of launchctl's exit codes.

launchctl's messages change from release to release; these exit codes do not.

They were collected from public reports, not observed on a Mac; `docs/macos-checklist.md` describes
how to check them.
"""

from __future__ import annotations

from enum import Enum

from ocrd.system_commands import CommandResult


class LaunchctlResult(Enum):
    """What an exit code of launchctl means."""

    OK = "done"
    NO_SUCH_SERVICE = "no such service"
    IN_PROGRESS = "in progress"
    # 5, an input/output error: already loaded, still stopping, disabled, or a bad plist.
    IO_ERROR = "input/output error"
    NO_DOMAIN = "no such domain: the user is not logged in there"
    DISABLED = "disabled"
    FAILED = "failed"


_BY_EXIT_CODE = {
    0: LaunchctlResult.OK,
    3: LaunchctlResult.NO_SUCH_SERVICE,
    5: LaunchctlResult.IO_ERROR,
    36: LaunchctlResult.IN_PROGRESS,
    37: LaunchctlResult.IN_PROGRESS,
    112: LaunchctlResult.NO_DOMAIN,
    113: LaunchctlResult.NO_SUCH_SERVICE,
    119: LaunchctlResult.DISABLED,
    125: LaunchctlResult.NO_DOMAIN,
}


def classify(result: CommandResult) -> LaunchctlResult:
    """Return the meaning of launchctl's exit code."""
    return _BY_EXIT_CODE.get(result.exit_code, LaunchctlResult.FAILED)


def is_disabled(label: str, listing: str) -> bool:
    """Return whether the output of ``launchctl print-disabled`` lists the service as disabled.

    It says ``=> true`` before macOS 13 and ``=> disabled`` since then.
    """
    for line in listing.splitlines():
        name, arrow, state = line.strip().partition(" => ")
        if arrow and name.strip('"') == label:
            return state.strip() in ("true", "disabled")
    return False
