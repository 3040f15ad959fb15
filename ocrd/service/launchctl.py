"""What launchctl's exit codes mean.

Its words change from release to release; these numbers are what it keeps to.

Collected from public reports, not seen on a Mac of ours: `docs/macos-checklist.md` says how to
look.
"""

from __future__ import annotations

from enum import Enum

from ocrd.system_commands import CommandResult


class Verdict(Enum):
    DONE = "done"
    UNKNOWN = "no such service"
    BUSY = "in progress"
    # 5, an input/output error: it stands for many things, so one has to look.
    UNCLEAR = "loaded already, still ending, disabled, or a bad plist"
    NO_DOMAIN = "nobody is logged in there"
    DISABLED = "disabled"
    FAILED = "failed"


_CODES = {
    0: Verdict.DONE,
    3: Verdict.UNKNOWN,
    5: Verdict.UNCLEAR,
    36: Verdict.BUSY,
    37: Verdict.BUSY,
    112: Verdict.NO_DOMAIN,
    113: Verdict.UNKNOWN,
    119: Verdict.DISABLED,
    125: Verdict.NO_DOMAIN,
}


def verdict(answer: CommandResult) -> Verdict:
    return _CODES.get(answer.exit_code, Verdict.FAILED)


def is_disabled(label: str, listed: str) -> bool:
    """Whether ``print-disabled`` lists the service so.

    ``=> true`` before macOS 13, ``=> disabled`` since.
    """
    for line in listed.splitlines():
        name, arrow, state = line.strip().partition(" => ")
        if arrow and name.strip('"') == label:
            return state.strip() in ("true", "disabled")
    return False
