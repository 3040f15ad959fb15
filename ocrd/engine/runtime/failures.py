"""What an engine's failure means.

A table of what torch and Metal say, and what helps. No torch here.

The messages are torch's own (ATen, MPS) as users reported them; a new one is a new row.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from ocrd.engine.errors import NonFiniteLogits

Kind = Literal["mps-dtype", "mps-unsupported-op", "mps-oom", "mps-numerics", "mps-wedged", "other"]


@dataclass(frozen=True)
class Failure:
    """One failure of a page, as it is logged and kept in the sidecar."""

    kind: Kind
    # The first line of what was raised.
    message: str
    device: str
    dtype: str


# In this order: an out-of-memory message may name anything else as well.
_TABLE: tuple[tuple[Kind, str], ...] = (
    ("mps-oom", r"out of memory|Invalid buffer size|not enough memory|can't allocate memory"),
    (
        "mps-wedged",
        r"command buffer exited with error|ImpactingInteractivity|SubmissionsIgnored"
        r"|CUDA error|illegal memory access|device-side assert|unspecified launch failure",
    ),
    ("mps-unsupported-op", r"The operator '?aten::\S+' is not currently (implemented|supported)"),
    (
        "mps-dtype",
        r"same dtype|expected self and source to have|Input type .+ and (weight|bias) type .+ should be the same"
        r"|expected scalar type .+ but found|expected m1 and m2 to have the same dtype"
        r"|Expected all tensors to be on the same device|Placeholder (storage|tensor)",
    ),
    ("mps-numerics", r"contains either `?inf`?, `?nan`?|not finite"),
)


def classify(error: BaseException) -> Kind:
    """The class of what was raised, by its type and its words.

    Causes count when it says nothing itself.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, NonFiniteLogits):
            return "mps-numerics"
        if isinstance(seen, MemoryError):
            return "mps-oom"
        for kind, pattern in _TABLE:
            if re.search(pattern, str(seen)):
                return kind
        seen = seen.__cause__ or seen.__context__
    return "other"


def failure_of(error: BaseException, device: str, *, dtype: str) -> Failure:
    first = str(error).strip().split("\n")[0] or type(error).__name__
    return Failure(classify(error), first[:500], device, dtype)
