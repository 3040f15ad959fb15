"""The one edge to torch's devices: what is there, where a name leads, how much is used."""

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
    """What the engine asks of the machine; tests put machines of their own in its place."""

    def machine(self) -> Machine: ...

    def place(self, device: str) -> torch.device:
        """Where tensors of ``device`` (``mps``, ``cuda``, ``cpu``) go."""
        ...

    def free_cache(self, device: str) -> None:
        """Give back what torch keeps for later."""
        ...

    def used(self, device: str) -> int:
        """Bytes that the device's driver gave to this process.

        0 for the CPU, whose memory is the process's own.
        """
        ...

    def running(self, device: str) -> AbstractContextManager[None]:
        """Around everything that runs there."""
        ...


class TorchDevices:
    """The real ones."""

    def machine(self) -> Machine:
        cuda = torch.cuda.is_available()
        return Machine(
            memory=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
            mps=torch.backends.mps.is_available(),
            cuda=torch.cuda.mem_get_info()[1] if cuda else 0,
            cuda_bfloat16=cuda and torch.cuda.get_device_capability() >= (8, 0),
        )

    def place(self, device: str) -> torch.device:
        return torch.device(device)

    def free_cache(self, device: str) -> None:
        if device == "mps":
            torch.mps.empty_cache()
        elif device == "cuda":
            torch.cuda.empty_cache()

    def used(self, device: str) -> int:
        if device == "mps":
            # MPSGraph's own cache is in here as well, which empty_cache() does not free.
            return int(torch.mps.driver_allocated_memory())
        return int(torch.cuda.memory_reserved()) if device == "cuda" else 0

    def running(self, device: str) -> AbstractContextManager[None]:
        return nullcontext()


def move(network: Network, device: torch.device, *, dtype: torch.dtype) -> None:
    """Bring the whole network there, a tensor at a time, and check that all of it came.

    Raises EngineError that names what stayed behind.
    """
    network.to(device=device, dtype=dtype)
    rebuild_rotary_embedding(network.language_model, device)  # `to` has rounded its frequencies
    refuse_strays(network, device, dtype=dtype)


def refuse_strays(network: Network, device: torch.device, *, dtype: torch.dtype) -> None:
    """``sam_model``, ``vision_model``, ``projector`` and the language model on one device, in
    one dtype.

    Raises EngineError that names the first parameter elsewhere: one is enough for a clash in
    mid-page.
    """
    for name, parameter in network.named_parameters():
        if parameter.device.type != device.type or parameter.dtype != dtype:
            raise EngineError(
                f"{name} is on {parameter.device} in {parameter.dtype}, but the model runs on {device} in {dtype}"
            )
    for name, buffer in network.named_buffers():
        if buffer.device.type != device.type:
            raise EngineError(f"{name} is on {buffer.device}, but the model runs on {device}")
