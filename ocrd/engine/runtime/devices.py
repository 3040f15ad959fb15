"""The only module that talks to torch's devices: what there is, memory, moving weights."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import torch

from ocrd.engine.nn.decoder import rebuild_rotary_embedding
from ocrd.engine.nn.network import Network
from ocrd.engine.runtime.device_plan import Machine
from ocrd.errors import EngineError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class Devices(Protocol):
    """What the engine needs from the machine. Tests replace it by machines of their own.

    A ``device`` is ``mps``, ``cuda`` or ``cpu``.
    """

    def machine(self) -> Machine:
        """Return what this machine has."""
        ...

    def torch_device(self, device: str) -> torch.device:
        """Return where tensors of ``device`` go."""
        ...

    def free_cache(self, device: str) -> None:
        """Free the memory that torch keeps for later."""
        ...

    def driver_bytes(self, device: str) -> int:
        """Return the memory that the device's driver gave to this process.

        0 for the CPU, whose memory is the process's own.
        """
        ...

    def running(self, device: str) -> AbstractContextManager[None]:
        """Return a context around everything that runs on ``device``."""
        ...


class TorchDevices:
    """The real devices."""

    def machine(self) -> Machine:
        """Return what this machine has."""
        cuda = torch.cuda.is_available()
        return Machine(
            memory_bytes=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
            mps=torch.backends.mps.is_available(),
            cuda_bytes=torch.cuda.mem_get_info()[1] if cuda else 0,
            cuda_bfloat16=cuda and torch.cuda.get_device_capability() >= (8, 0),
        )

    def torch_device(self, device: str) -> torch.device:
        """Return torch's device of that name."""
        return torch.device(device)

    def free_cache(self, device: str) -> None:
        """Free the memory that torch keeps for later."""
        if device == "mps":
            torch.mps.empty_cache()
        elif device == "cuda":
            torch.cuda.empty_cache()

    def driver_bytes(self, device: str) -> int:
        """Return the memory that the device's driver gave to this process."""
        if device == "mps":
            # Includes MPSGraph's own cache, which empty_cache() does not free.
            return int(torch.mps.driver_allocated_memory())
        return int(torch.cuda.memory_reserved()) if device == "cuda" else 0

    def running(self, device: str) -> AbstractContextManager[None]:
        """Return a context that does nothing."""
        return nullcontext()


def move(network: Network, device: torch.device, *, dtype: torch.dtype) -> None:
    """Move the whole network to a device and dtype, one tensor at a time.

    Raises:
        EngineError: A tensor stayed behind; the message names it.
    """
    network.to(device=device, dtype=dtype)
    rebuild_rotary_embedding(network.language_model, device)  # `to` has rounded its frequencies
    check_placement(network, device, dtype=dtype)


def check_placement(network: Network, device: torch.device, *, dtype: torch.dtype) -> None:
    """Check that all parts of the network are on one device and in one dtype.

    Raises:
        EngineError: A tensor is elsewhere, which would fail in the middle of a page; the message
            names the first one.
    """
    for name, parameter in network.named_parameters():
        if parameter.device.type != device.type or parameter.dtype != dtype:
            raise EngineError(
                f"{name} is on {parameter.device} in {parameter.dtype}, but the model runs on "
                f"{device} in {dtype}"
            )
    for name, buffer in network.named_buffers():
        if buffer.device.type != device.type:
            raise EngineError(f"{name} is on {buffer.device}, but the model runs on {device}")
