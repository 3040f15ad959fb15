"""Which device and precision to try, in which order, and why.

A function of what the machine has. No torch here.

float32 comes first on MPS, where mixed precision is where the dtype clashes came from, as long as
it fits; bfloat16 halves the weights; the CPU is the last resort, and always there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ocrd.errors import EngineError

Device = Literal["mps", "cuda", "cpu"]
Dtype = Literal["float32", "bfloat16"]

BYTES: dict[Dtype, int] = {"float32": 4, "bfloat16": 2}
# What a page needs beside the weights: 3.6 GB for 13.3 GB of float32 weights. SAM's global
# attention is most of it.
WITH_ACTIVATIONS = 1.27
# Of the memory that a device has, what may be used: macOS lets Metal work in about three quarters
# of it.
SHARE: dict[Device, float] = {"mps": 0.75, "cuda": 0.95, "cpu": 0.9}


@dataclass(frozen=True)
class Machine:
    """What counts for the choice."""

    # Bytes of main memory; on a Mac the GPU's as well.
    memory: int
    mps: bool = False
    # Bytes of the CUDA device's memory; 0 where there is none.
    cuda: int = 0
    # Whether that device has units for bfloat16.
    cuda_bfloat16: bool = False

    @property
    def devices(self) -> tuple[Device, ...]:
        """Those that are there, fastest first."""
        there: dict[Device, bool] = {"mps": self.mps, "cuda": self.cuda > 0, "cpu": True}
        return tuple(device for device, is_there in there.items() if is_there)

    def memory_of(self, device: Device) -> int:
        return self.cuda if device == "cuda" else self.memory


@dataclass(frozen=True)
class Candidate:
    device: Device
    dtype: Dtype
    why: str = field(compare=False)

    def __str__(self) -> str:
        return f"{self.device} in {self.dtype}"


@dataclass(frozen=True)
class DevicePlan:
    # In the order in which they are tried; never empty.
    candidates: tuple[Candidate, ...]
    # What was not considered further, and why.
    refused: tuple[Candidate, ...]


def make_device_plan(device: str, dtype: str, *, parameters: int, machine: Machine) -> DevicePlan:
    """From ``engine.device``, ``engine.dtype`` (each may be ``auto``) and the model's number of
    parameters.

    Raises EngineError when a device is asked for by name and is not there.
    """
    if device != "auto" and device not in machine.devices:
        raise EngineError(
            f"engine.device is {device!r}, but this machine has only: {', '.join(machine.devices)}"
        )
    candidates: list[Candidate] = []
    refused: list[Candidate] = []
    for here in machine.devices:
        if device in ("auto", here):
            for precision in _precisions(here, dtype, machine=machine):
                found = _weigh(
                    here,
                    precision,
                    parameters=parameters,
                    machine=machine,
                    by_name=dtype != "auto" and device != "auto",
                )
                (candidates if found[0] else refused).append(found[1])
    if not any(c.device == "cpu" for c in candidates):
        # Where nothing fits, the CPU may still swap its way through; and it is what a failing page
        # is retried on.
        roomy = _fits("cpu", "float32", parameters=parameters, machine=machine)
        wanted: Dtype = (
            _precisions("cpu", dtype, machine=machine)[0]
            if dtype != "auto" or roomy
            else "bfloat16"
        )
        candidates.append(Candidate("cpu", wanted, "the last resort"))
        refused = [c for c in refused if (c.device, c.dtype) != ("cpu", wanted)]
    return DevicePlan(tuple(candidates), tuple(refused))


# Decoded at once. More would hardly be faster: eight already choose most of the experts.
MOST_PAGES = 8


def pages_at_once(here: Candidate, parameters: int, *, page_bytes: int, machine: Machine) -> int:
    """How many pages fit beside the weights when each is as long as can be; one always does.

    ``page_bytes``: keys and values of one such page.
    """
    room = SHARE[here.device] * machine.memory_of(here.device) - _needs(here.dtype, parameters)
    return max(1, min(MOST_PAGES, int(room // page_bytes)))


def _precisions(device: Device, dtype: str, *, machine: Machine) -> tuple[Dtype, ...]:
    if dtype in BYTES:
        return ("bfloat16",) if dtype == "bfloat16" else ("float32",)
    if device == "cuda" and machine.cuda_bfloat16:
        return ("bfloat16", "float32")  # what the model was published for
    return ("float32", "bfloat16")


def _weigh(
    device: Device, dtype: Dtype, *, parameters: int, machine: Machine, by_name: bool
) -> tuple[bool, Candidate]:
    needed = _needs(dtype, parameters) / 1e9
    room = SHARE[device] * machine.memory_of(device) / 1e9
    if by_name:
        return True, Candidate(device, dtype, "as engine.device and engine.dtype say")
    if _fits(device, dtype, parameters=parameters, machine=machine):
        return True, Candidate(device, dtype, f"needs {needed:.1f} GB of {room:.1f} GB")
    return False, Candidate(device, dtype, f"needs {needed:.1f} GB, but {room:.1f} GB may be used")


def _needs(dtype: Dtype, parameters: int) -> float:
    return parameters * BYTES[dtype] * WITH_ACTIVATIONS


def _fits(device: Device, dtype: Dtype, *, parameters: int, machine: Machine) -> bool:
    return _needs(dtype, parameters) <= SHARE[device] * machine.memory_of(device)
