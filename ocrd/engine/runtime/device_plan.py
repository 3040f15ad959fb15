"""Plan which device and dtype to try, in which order, and why. No torch here.

On MPS, float32 comes first where it fits, because MPS's dtype errors came from mixed precision.
bfloat16 halves the weights. The CPU is the last resort and always available.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ocrd.errors import EngineError
from ocrd.units import format_size

Device = Literal["mps", "cuda", "cpu"]
Dtype = Literal["float32", "bfloat16"]

BYTES_PER_VALUE: dict[Dtype, int] = {"float32": 4, "bfloat16": 2}
# What the model needs with one page, as a multiple of its weights: 3.6 GB more for 13.3 GB of
# float32 weights. SAM's global attention is most of it.
_ACTIVATIONS_FACTOR = 1.27
# The share of a device's memory that may be used. macOS lets Metal use about three quarters.
_USABLE_SHARE: dict[Device, float] = {"mps": 0.75, "cuda": 0.95, "cpu": 0.9}
# Most pages that are decoded at once. More would hardly be faster: eight already choose most of
# the experts.
MAX_BATCH = 8


@dataclass(frozen=True)
class Machine:
    """What this machine has.

    Attributes:
        memory_bytes: Main memory; on a Mac also the GPU's.
        mps: Whether there is an MPS device.
        cuda_bytes: Memory of the CUDA device; 0 without one.
        cuda_bfloat16: Whether the CUDA device computes in bfloat16 itself.
    """

    memory_bytes: int
    mps: bool = False
    cuda_bytes: int = 0
    cuda_bfloat16: bool = False

    @property
    def devices(self) -> tuple[Device, ...]:
        """The available devices, fastest first."""
        available: dict[Device, bool] = {"mps": self.mps, "cuda": self.cuda_bytes > 0, "cpu": True}
        return tuple(device for device, is_available in available.items() if is_available)

    def usable_bytes(self, device: Device) -> float:
        """Memory of ``device`` that the model may use."""
        memory = self.cuda_bytes if device == "cuda" else self.memory_bytes
        return _USABLE_SHARE[device] * memory


@dataclass(frozen=True)
class Candidate:
    """A device and a dtype in which to run the model, and the reason for its place in the plan."""

    device: Device
    dtype: Dtype
    reason: str = field(default="", compare=False)

    def __str__(self) -> str:
        return f"{self.device} in {self.dtype}"


@dataclass(frozen=True)
class DevicePlan:
    """Which candidates to try.

    Attributes:
        candidates: In their order. At least one, and one of them is on the CPU.
        rejected: Candidates that are not tried, each with its reason.
    """

    candidates: tuple[Candidate, ...]
    rejected: tuple[Candidate, ...]


def make_device_plan(device: str, dtype: str, *, parameters: int, machine: Machine) -> DevicePlan:
    """Plan which devices and dtypes to try.

    Args:
        device: ``engine.device``; may be ``auto``.
        dtype: ``engine.dtype``; may be ``auto``.
        parameters: Number of the model's parameters.
        machine: What the machine has.

    Raises:
        EngineError: The machine does not have ``device``.
    """
    if device != "auto" and device not in machine.devices:
        raise EngineError(
            f"engine.device is {device!r}, but this machine has only: {', '.join(machine.devices)}"
        )
    by_name = device != "auto" and dtype != "auto"
    candidates: list[Candidate] = []
    rejected: list[Candidate] = []
    for available in machine.devices:
        if device not in ("auto", available):
            continue
        for precision in _dtypes_to_try(available, dtype, machine=machine):
            fits = _fits(available, precision, parameters=parameters, machine=machine)
            reason = _size_reason(available, precision, parameters=parameters, machine=machine)
            if by_name:
                reason = "as engine.device and engine.dtype say"
            chosen = candidates if by_name or fits else rejected
            chosen.append(Candidate(available, precision, reason))
    if not any(candidate.device == "cpu" for candidate in candidates):
        last_resort = _last_resort(dtype, parameters=parameters, machine=machine)
        candidates.append(last_resort)
        rejected = [candidate for candidate in rejected if candidate != last_resort]
    return DevicePlan(tuple(candidates), tuple(rejected))


def largest_batch(
    candidate: Candidate, parameters: int, *, page_bytes: int, machine: Machine
) -> int:
    """Return how many pages fit in memory with the weights if each is as long as possible.

    Args:
        candidate: Where the model runs.
        parameters: Number of its parameters.
        page_bytes: Keys and values of one such page.
        machine: What the machine has.

    Returns:
        1 to MAX_BATCH.
    """
    needed = _needed_bytes(candidate.dtype, parameters)
    free = machine.usable_bytes(candidate.device) - needed
    return max(1, min(MAX_BATCH, int(free // page_bytes)))


def _dtypes_to_try(device: Device, dtype: str, *, machine: Machine) -> tuple[Dtype, ...]:
    if dtype == "float32":
        return ("float32",)
    if dtype == "bfloat16":
        return ("bfloat16",)
    if device == "cuda" and machine.cuda_bfloat16:
        return ("bfloat16", "float32")  # the model was published for it
    return ("float32", "bfloat16")


def _last_resort(dtype: str, *, parameters: int, machine: Machine) -> Candidate:
    """Return the CPU, which may still work by swapping, and on which failed pages are retried."""
    precision: Dtype = "bfloat16"
    if dtype == "float32" or (
        dtype == "auto" and _fits("cpu", "float32", parameters=parameters, machine=machine)
    ):
        precision = "float32"
    return Candidate("cpu", precision, "the last resort")


def _size_reason(device: Device, dtype: Dtype, *, parameters: int, machine: Machine) -> str:
    needed = format_size(_needed_bytes(dtype, parameters))
    usable = format_size(machine.usable_bytes(device))
    if _fits(device, dtype, parameters=parameters, machine=machine):
        return f"needs {needed} of {usable}"
    return f"needs {needed}, but {usable} may be used"


def _needed_bytes(dtype: Dtype, parameters: int) -> float:
    return parameters * BYTES_PER_VALUE[dtype] * _ACTIVATIONS_FACTOR


def _fits(device: Device, dtype: Dtype, *, parameters: int, machine: Machine) -> bool:
    return _needed_bytes(dtype, parameters) <= machine.usable_bytes(device)
