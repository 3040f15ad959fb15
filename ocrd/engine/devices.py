"""Which device and precision to run on."""

from __future__ import annotations

import torch

from ocrd.errors import EngineError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def choose_device(wanted: str) -> str:
    """``auto`` is MPS, then CUDA, then the CPU; anything else is taken at its word when it is there.

    Raises EngineError when the wanted device is not there.
    """
    available = {"mps": torch.backends.mps.is_available(), "cuda": torch.cuda.is_available(), "cpu": True}
    if wanted == "auto":
        return next(name for name, there in available.items() if there)
    if not available.get(wanted, False):
        there = ", ".join(name for name, is_there in available.items() if is_there)
        raise EngineError(f"engine.device is {wanted!r}, but this machine has only: {there}")
    return wanted


def choose_dtype(wanted: str) -> torch.dtype:
    """``auto`` is float32: on MPS bfloat16 is where the dtype clashes came from."""
    return torch.float32 if wanted == "auto" else DTYPES[wanted]
