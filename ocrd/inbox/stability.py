"""When a file is complete: two looks agree, far enough apart.

An old modification time proves nothing, as a copy keeps it, and no event says "finished": scanners
close and reopen a file with gaps of seconds (paperless-ngx 1279, OCRmyPDF 552). So only our own
looks count, on our own clock.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from ocrd.types import Fingerprint

# Seconds after which a file that just changed is looked at again, so that a short copy costs no
# second settle time.
GLANCE = 0.25

# Seconds between looks at a file that needs patience; its events normally tell us sooner.
RECHECK = 30.0


@dataclass(frozen=True)
class Waiting:
    """A file that is not taken yet."""

    path: Path
    fingerprint: Fingerprint
    # When this fingerprint was first seen.
    since: float
    # When it was last seen.
    last: float
    # Seconds that it must stay the same.
    patience: float
    reason: str

    @property
    def due(self) -> float:
        """When to look again."""
        if self.last == self.since:
            return self.since + min(self.patience, GLANCE)
        return min(self.since + self.patience, self.last + RECHECK)


class StabilityTracker:
    """The files that are being waited for. The clock is the caller's, and monotonic."""

    def __init__(self, settle: float) -> None:
        self._settle = settle
        self._table: dict[Path, Waiting] = {}

    def seen(
        self,
        path: Path,
        fingerprint: Fingerprint,
        *,
        now: float,
        patience: float = 0.0,
        reason: str = "",
    ) -> bool:
        """Record a look; True when it agrees with one at least the settle time ago, and none
        between disagreed.

        ``patience`` asks for a longer time; a look that asks for less than the last one (the copy
        ended, the file came from iCloud) starts afresh. A file that settled is no longer waited
        for.
        """
        need = max(self._settle, patience)
        known = self._table.get(path)
        if known is None or known.fingerprint != fingerprint or known.patience > need:
            self._table[path] = Waiting(path, fingerprint, now, now, need, reason)
            return False
        if now >= known.since + need:
            del self._table[path]
            return True
        self._table[path] = replace(known, last=now, patience=need, reason=reason)
        return False

    def forget(self, path: Path) -> None:
        """Wait for this file no more."""
        self._table.pop(path, None)

    def waiting(self) -> tuple[Waiting, ...]:
        """Every file that is waited for, longest first."""
        return tuple(sorted(self._table.values(), key=lambda entry: entry.since))

    def due(self, now: float) -> list[Path]:
        """The files to look at now."""
        return [path for path, entry in self._table.items() if entry.due <= now]

    def next_due(self, now: float) -> float | None:
        """Seconds until the next look is due, 0 when one is overdue; None when nothing waits."""
        if not self._table:
            return None
        return max(0.0, min(entry.due for entry in self._table.values()) - now)
