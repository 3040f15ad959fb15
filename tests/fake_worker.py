"""A worker on a machine that claims to have a GPU. It is the CPU, and fails as a script says.

``FAKE_GPU`` names a folder with these files:

* ``script`` has one line for each thing that runs on the GPU, over all workers; the first is the
  self-test. ``ran`` gets a line for each.
* ``stacks`` gets what torch raised, as the engine caught it.
* ``always`` has what happens to everything on the CPU.
* With a file ``cuda``, the GPU is a CUDA device, and the machine is not a Mac.
"""

from __future__ import annotations

import json
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import torch

from ocrd.engine.errors import NonFiniteLogits
from ocrd.engine.runtime import failures, time_limits
from ocrd.engine.runtime.device_plan import Machine
from ocrd.engine.runtime.failures import FailureKind, classify
from ocrd.worker import child

GPU = Path(os.environ["FAKE_GPU"])


def dtype_error() -> None:
    """The failure that ocrd was made to avoid, raised by torch itself."""
    target = torch.zeros(4, dtype=torch.bfloat16)
    try:
        target.masked_scatter_(torch.ones(4, dtype=torch.bool), torch.ones(4))
    except RuntimeError as error:
        raise RuntimeError(f"while the image tokens were put into the prompt: {error}") from error


def raise_error(kind: type[Exception], message: str) -> Callable[[], None]:
    def fail() -> None:
        raise kind(message)

    return fail


def end_by(number: int) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


FAULTS: dict[str, Callable[[], object]] = {
    "ok": lambda: None,
    "mps-dtype": dtype_error,
    "mps-oom": raise_error(
        RuntimeError, "MPS backend out of memory (MPS allocated: 17.80 GB, max allowed: 18.13 GB)."
    ),
    "cuda-oom": raise_error(RuntimeError, "CUDA out of memory. Tried to allocate 2.00 GiB."),
    "mps-unsupported-op": raise_error(
        NotImplementedError,
        "The operator 'aten::_upsample_bicubic2d_aa.out' is not currently implemented for the MPS",
    ),
    "mps-numerics": raise_error(NonFiniteLogits, "the model's scores are not finite"),
    "mps-wedged": raise_error(RuntimeError, "command buffer exited with error status"),
    "other": raise_error(ValueError, "an unknown error"),
    "segv": end_by(signal.SIGSEGV),
    "kill": end_by(signal.SIGKILL),
    "exit": lambda: os._exit(3),
    "hang": lambda: time.sleep(1000),
    "garbage": lambda: os.write(1, b"\x00garbage on standard output\n" * 1000),
}


class FakeDevices:
    def machine(self) -> Machine:
        if (GPU / "cuda").exists():
            return Machine(memory_bytes=32 * 1024**3, cuda_bytes=24 * 1024**3, cuda_bfloat16=True)
        return Machine(memory_bytes=32 * 1024**3, mps=True)

    def torch_device(self, device: str) -> torch.device:
        return torch.device("cpu")

    def free_cache(self, device: str) -> None:
        with (GPU / "freed").open("a") as file:
            file.write(f"{device}\n")

    def driver_bytes(self, device: str) -> int:
        return int((GPU / "used").read_text()) if (GPU / "used").exists() else 0

    def running(self, device: str) -> AbstractContextManager[None]:
        return self._running(device)

    @contextmanager
    def _running(self, device: str) -> Iterator[None]:
        if device != "cpu":
            ran = (GPU / "ran").read_text().splitlines() if (GPU / "ran").exists() else []
            script = (GPU / "script").read_text().splitlines()
            fault = script[len(ran)] if len(ran) < len(script) else "ok"
            with (GPU / "ran").open("a") as file:
                file.write(f"{fault}\n")
        else:
            fault = (GPU / "always").read_text() if (GPU / "always").exists() else "ok"
        FAULTS[fault]()
        yield


def record_and_classify(error: BaseException) -> FailureKind:
    """Writes each error to ``stacks`` as the engine caught it, to compare the log with it."""
    with (GPU / "stacks").open("a") as file:
        file.write(json.dumps("".join(traceback.format_exception(error))) + "\n")
    return classify(error)


if __name__ == "__main__":
    failures.classify = record_and_classify
    time_limits.VIEW_TIMEOUT_S = 2.0
    time_limits.TOKEN_TIMEOUT_S = 0.1
    child.main(FakeDevices())
