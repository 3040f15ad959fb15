"""The most memory that something took."""

from __future__ import annotations

import sys
from pathlib import Path

import torch


class Peak:
    """From its making on: bytes at the peak, above what there was then.

    0 where the system does not say.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
            self._before = torch.cuda.memory_allocated()
        elif sys.platform == "linux":
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins anew
            self._before = self._status("VmRSS")

    def bytes(self) -> int:
        if self._device == "cuda":
            return torch.cuda.max_memory_allocated() - self._before
        return self._status("VmHWM") - self._before if sys.platform == "linux" else 0

    @staticmethod
    def _status(name: str) -> int:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))
