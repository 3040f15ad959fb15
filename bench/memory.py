"""Peak memory of a piece of work."""

from __future__ import annotations

import sys
from pathlib import Path

import torch


class PeakMemory:
    """Bytes at the peak since this object was created, in addition to those in use then.

    0 on systems that do not report it.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
            self._before = torch.cuda.memory_allocated()
        elif sys.platform == "linux":
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # resets VmHWM
            self._before = self._status_bytes("VmRSS")

    def bytes(self) -> int:
        """The peak so far."""
        if self._device == "cuda":
            return torch.cuda.max_memory_allocated() - self._before
        return self._status_bytes("VmHWM") - self._before if sys.platform == "linux" else 0

    @staticmethod
    def _status_bytes(name: str) -> int:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))
