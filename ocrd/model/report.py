"""The result of a verification: named checks, each with what was found and what was expected."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ocrd.errors import ModelError

CheckState = Literal["ok", "warn", "fail"]

# Failures that an error message names.
_FAILURES_NAMED = 3


@dataclass(frozen=True)
class Check:
    """One check. ``file`` is the file that has to be fetched again, where there is one."""

    name: str
    state: CheckState
    found: str
    expected: str
    file: str | None = None


@dataclass(frozen=True)
class Report:
    """All checks of one folder. With ``full``, every byte was hashed."""

    folder: Path
    full: bool
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether no check failed."""
        return not self.failures

    @property
    def failures(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if check.state == "fail")

    @property
    def broken_files(self) -> frozenset[str]:
        """The names of the files that have to be fetched again."""
        return frozenset(check.file for check in self.failures if check.file)

    def describe_failures(self) -> str:
        """The first failures as one text; empty when there is none."""
        text = "; ".join(
            f"{check.name}: {check.found}, expected {check.expected}"
            for check in self.failures[:_FAILURES_NAMED]
        )
        more = len(self.failures) - _FAILURES_NAMED
        return f"{text} and {more} more" if more > 0 else text

    def raise_if_broken(self) -> None:
        """Raise ModelError with the first failures."""
        if self.failures:
            raise ModelError(f"the model in {self.folder} is broken: {self.describe_failures()}")
