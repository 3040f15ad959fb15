"""What the daemon remembers about unfinished jobs between two tries; a restart forgets it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from ocrd.types import Fallback


@dataclass
class JobMemory:
    """Facts by job id.

    Attributes:
        exhausted: Jobs that used up a worker; the next worker does not give up so early.
        read_alone: Jobs whose batch failed; they are not read together with others again.
        failures: Failures of workers that have ended, for the job's sidecar.
    """

    exhausted: set[str] = field(default_factory=set)
    read_alone: set[str] = field(default_factory=set)
    failures: defaultdict[str, list[Fallback]] = field(default_factory=lambda: defaultdict(list))

    def forget(self, job: str) -> None:
        """The job has ended."""
        self.exhausted.discard(job)
        self.read_alone.discard(job)
        self.failures.pop(job, None)
