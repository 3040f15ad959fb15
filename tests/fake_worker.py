"""A worker on a machine that says it has a GPU.

What runs there runs on the CPU, and fails as it is told to.

``FAKE_GPU`` names a folder: ``script`` holds a line for each thing that is run on it, over all
workers (the first is the canary); ``ran`` gets a line for each, ``stacks`` what torch raised as the
engine caught it. ``always`` holds what happens to everything on the CPU. With a file ``cuda`` it is
no Mac.
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
from ocrd.engine.runtime import failover as runner
from ocrd.engine.runtime.device_plan import Machine
from ocrd.engine.runtime.failures import Failure, failure_of
from ocrd.worker import child

GPU = Path(os.environ["FAKE_GPU"])


def clash() -> None:
    """The failure that this project is named for, raised by torch itself."""
    target = torch.zeros(4, dtype=torch.bfloat16)
    try:
        target.masked_scatter_(torch.ones(4, dtype=torch.bool), torch.ones(4))
    except RuntimeError as error:
        raise RuntimeError(f"while the picture was put among the words: {error}") from error


def say(kind: type[Exception], message: str) -> Callable[[], None]:
    def fail() -> None:
        raise kind(message)

    return fail


def end_by(number: int) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


FAULTS: dict[str, Callable[[], object]] = {
    "ok": lambda: None,
    "mps-dtype": clash,
    "mps-oom": say(
        RuntimeError, "MPS backend out of memory (MPS allocated: 17.80 GB, max allowed: 18.13 GB)."
    ),
    "cuda-oom": say(RuntimeError, "CUDA out of memory. Tried to allocate 2.00 GiB."),
    "mps-unsupported-op": say(
        NotImplementedError,
        "The operator 'aten::_upsample_bicubic2d_aa.out' is not currently implemented for the MPS",
    ),
    "mps-numerics": say(NonFiniteLogits, "the model's scores are not finite"),
    "mps-wedged": say(RuntimeError, "command buffer exited with error status"),
    "other": say(ValueError, "nobody has seen this before"),
    "segv": end_by(signal.SIGSEGV),
    "kill": end_by(signal.SIGKILL),
    "exit": lambda: os._exit(3),
    "hang": lambda: time.sleep(1000),
    "garbage": lambda: os.write(1, b"\x00garbage on standard output\n" * 1000),
}


class FakeDevices:
    def machine(self) -> Machine:
        if (GPU / "cuda").exists():
            return Machine(memory=32 * 1024**3, cuda=24 * 1024**3, cuda_bfloat16=True)
        return Machine(memory=32 * 1024**3, mps=True)

    def place(self, device: str) -> torch.device:
        return torch.device("cpu")

    def free_cache(self, device: str) -> None:
        with (GPU / "freed").open("a") as file:
            file.write(f"{device}\n")

    def used(self, device: str) -> int:
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


def kept(error: BaseException, device: str, *, dtype: str) -> Failure:
    """What the engine caught, as it caught it, to compare the log with."""
    with (GPU / "stacks").open("a") as file:
        file.write(json.dumps("".join(traceback.format_exception(error))) + "\n")
    return failure_of(error, device, dtype=dtype)


if __name__ == "__main__":
    runner.failure_of = kept  # type: ignore[attr-defined]  # it is the name by which the runner calls it
    runner.SECONDS_A_VIEW = 2.0
    runner.SECONDS_A_TOKEN = 0.1
    child.main(FakeDevices())
