"""When a file is complete: two checks find it unchanged, far enough apart.

An old modification time proves nothing, because a copy preserves it. No event says "finished":
scanners close and reopen a file with gaps of seconds (paperless-ngx 1279, OCRmyPDF 552). So only
our own checks count, on our own clock.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from ocrd.types import Fingerprint

# A file that just changed is checked again this soon, so that a short copy costs no second settle
# time.
FIRST_RECHECK_S = 0.25

# Time between checks of a file that has to be waited for longer. Its events usually come sooner.
RECHECK_S = 30.0


@dataclass(frozen=True)
class PendingFile:
    """A file that is not complete yet.

    Attributes:
        path: Its path.
        fingerprint: As it was at the last check.
        unchanged_since: When this fingerprint was first seen.
        last_check: When it was last seen.
        required_quiet_s: Seconds that it has to stay unchanged.
        reason: Why it has to be waited for longer than usual; empty for a plain file.
    """

    path: Path
    fingerprint: Fingerprint
    unchanged_since: float
    last_check: float
    required_quiet_s: float
    reason: str

    @property
    def next_check(self) -> float:
        """The time of the next check."""
        stable_at = self.unchanged_since + self.required_quiet_s
        if self.last_check == self.unchanged_since:
            return min(stable_at, self.unchanged_since + FIRST_RECHECK_S)
        return min(stable_at, self.last_check + RECHECK_S)


class StabilityTracker:
    """The pending files of one inbox. All times are of the caller's monotonic clock."""

    def __init__(self, settle_s: float) -> None:
        self._settle_s = settle_s
        self._files: dict[Path, PendingFile] = {}

    def observe(
        self,
        path: Path,
        fingerprint: Fingerprint,
        *,
        now: float,
        required_quiet_s: float = 0.0,
        reason: str = "",
    ) -> bool:
        """Record a check of a file.

        Args:
            path: The file.
            fingerprint: As it is now.
            now: The time of this check.
            required_quiet_s: Seconds that it has to stay unchanged, if more than the settle time.
                When that is less than at the last check (the copy ended, the file was downloaded),
                the wait starts again.
            reason: Why it has to be waited for longer than usual.

        Returns:
            Whether it is complete: every check since the required time found it unchanged. It is
            not pending any more then.
        """
        required_s = max(self._settle_s, required_quiet_s)
        known = self._files.get(path)
        if known is None or known.fingerprint != fingerprint or known.required_quiet_s > required_s:
            self._files[path] = PendingFile(path, fingerprint, now, now, required_s, reason)
            return False
        if now >= known.unchanged_since + required_s:
            del self._files[path]
            return True
        self._files[path] = replace(
            known, last_check=now, required_quiet_s=required_s, reason=reason
        )
        return False

    def forget(self, path: Path) -> None:
        """Stop waiting for this file."""
        self._files.pop(path, None)

    def pending(self) -> tuple[PendingFile, ...]:
        """Every file that is not complete yet; the one that waits longest comes first."""
        return tuple(sorted(self._files.values(), key=lambda file: file.unchanged_since))

    def due(self, now: float) -> list[Path]:
        """The files to check now."""
        return [path for path, file in self._files.items() if file.next_check <= now]

    def next_due_in_s(self, now: float) -> float | None:
        """Seconds until the next check, 0 when one is overdue; None when no file is pending."""
        if not self._files:
            return None
        return max(0.0, min(file.next_check for file in self._files.values()) - now)
