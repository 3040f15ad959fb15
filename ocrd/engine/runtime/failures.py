"""Classify failures of the engine by what torch and Metal report. No torch here.

The messages are torch's own (ATen, MPS) as users reported them. A new message is a new row.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from ocrd.engine.errors import NonFiniteLogits
from ocrd.engine.runtime.device_plan import Candidate

_MAX_MESSAGE_LENGTH = 500


class FailureKind(StrEnum):
    """Kinds of failure, by what helps. Named for MPS, where they were found; CUDA has them too."""

    DTYPE = "mps-dtype"
    UNSUPPORTED_OP = "mps-unsupported-op"
    OUT_OF_MEMORY = "mps-oom"
    NUMERICS = "mps-numerics"
    WEDGED = "mps-wedged"
    OTHER = "other"


@dataclass(frozen=True)
class Failure:
    """One failure, as it is logged and recorded in the sidecar.

    Attributes:
        kind: What helps against it.
        message: The first line of the error.
        device: Where it happened.
        dtype: In which dtype the model was.
    """

    kind: FailureKind
    message: str
    device: str
    dtype: str

    @classmethod
    def from_error(cls, error: BaseException, candidate: Candidate) -> Self:
        """Describe ``error``, which was raised while the model was used as ``candidate``."""
        first_line = str(error).strip().split("\n")[0] or type(error).__name__
        message = first_line[:_MAX_MESSAGE_LENGTH]
        return cls(classify(error), message, candidate.device, candidate.dtype)


# In this order, because a message about memory may mention anything else as well.
_MESSAGES: tuple[tuple[FailureKind, re.Pattern[str]], ...] = (
    (
        FailureKind.OUT_OF_MEMORY,
        re.compile(
            r"out of memory|Invalid buffer size|not enough memory|can't allocate memory",
        ),
    ),
    (
        FailureKind.WEDGED,
        re.compile(
            r"command buffer exited with error|ImpactingInteractivity|SubmissionsIgnored"
            r"|CUDA error|illegal memory access|device-side assert|unspecified launch failure"
        ),
    ),
    (
        FailureKind.UNSUPPORTED_OP,
        re.compile(r"The operator '?aten::\S+' is not currently (implemented|supported)"),
    ),
    (
        FailureKind.DTYPE,
        re.compile(
            r"same dtype|expected self and source to have"
            r"|Input type .+ and (weight|bias) type .+ should be the same"
            r"|expected scalar type .+ but found|expected m1 and m2 to have the same dtype"
            r"|Expected all tensors to be on the same device|Placeholder (storage|tensor)"
        ),
    ),
    (FailureKind.NUMERICS, re.compile(r"contains either `?inf`?, `?nan`?|not finite")),
)


def classify(error: BaseException) -> FailureKind:
    """Return the kind of ``error``, by its type and its message, or by those of its causes."""
    current: BaseException | None = error
    while current is not None:
        if isinstance(current, NonFiniteLogits):
            return FailureKind.NUMERICS
        if isinstance(current, MemoryError):
            return FailureKind.OUT_OF_MEMORY
        for kind, pattern in _MESSAGES:
            if pattern.search(str(current)):
                return kind
        current = current.__cause__ or current.__context__
    return FailureKind.OTHER
