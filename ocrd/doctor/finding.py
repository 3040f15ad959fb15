"""The result of one check."""

from __future__ import annotations

from dataclasses import dataclass

from ocrd.errors import ExitCode
from ocrd.model.report import CheckState


@dataclass(frozen=True)
class Finding:
    """What a check found, and what the user should do about it."""

    name: str
    state: CheckState
    found: str
    # Empty when there is nothing to do.
    advice: str = ""
    # What `ocrd doctor` exits with when this is the first failure.
    exit_code: ExitCode = ExitCode.DONE
