"""A machine whose MPS device is the CPU and fails as a script says, and an engine on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
import torch
from PIL import Image

from ocrd.engine.decode import DecodeLimits
from ocrd.engine.runtime.device_plan import Machine
from ocrd.engine.runtime.engine_runner import EngineOptions, EngineRunner
from ocrd.engine.runtime.failover import FailoverPolicy
from ocrd.engine.runtime.read_options import ReadOptions
from ocrd.engine.runtime.self_test import SelfTest
from ocrd.paths import POCKET_MODEL
from ocrd.types import PageReading
from ocrd.worker.startup import SELF_TEST_PICTURE, self_test_text

PICTURE = SELF_TEST_PICTURE
# What the pocket model reads in the picture.
TEXT = self_test_text(POCKET_MODEL)

OUT_OF_MEMORY = "MPS backend out of memory"
DTYPE_ERROR = "expected scalar type Float but found BFloat16"


class FakeDevices:
    """MPS that leads to the CPU and raises what ``script`` has next; its own clock."""

    def __init__(self, *script: Exception | None, memory_bytes: int = 32 * 1024**3) -> None:
        self.script = iter(script)
        self.memory_bytes = memory_bytes
        self.now = 0.0
        self.freed = 0
        self.ran: list[str] = []

    def machine(self) -> Machine:
        return Machine(self.memory_bytes, mps=True)

    def torch_device(self, device: str) -> torch.device:
        return torch.device("cpu")

    def free_cache(self, device: str) -> None:
        self.freed += 1

    def driver_bytes(self, device: str) -> int:
        return 0

    def running(self, device: str) -> AbstractContextManager[None]:
        return self._running(device)

    @contextmanager
    def _running(self, device: str) -> Iterator[None]:
        self.ran.append(device)
        error = next(self.script, None) if device == "mps" else None
        if error:
            raise error
        yield


def new_runner(
    devices: FakeDevices,
    policy: FailoverPolicy = FailoverPolicy(),  # noqa: B008 - frozen
    *,
    batch: int | None = None,
    expected_text: str | None = TEXT,
) -> EngineRunner:
    return EngineRunner(
        POCKET_MODEL,
        EngineOptions(batch=batch, failover=policy),
        devices=devices,
        self_test=SelfTest(PICTURE, expected_text),
        clock=lambda: devices.now,
    )


def started(
    devices: FakeDevices,
    policy: FailoverPolicy = FailoverPolicy(),  # noqa: B008 - frozen
    *,
    batch: int | None = None,
) -> EngineRunner:
    runner = new_runner(devices, policy, batch=batch)
    runner.start()
    return runner


def pages(count: int) -> list[tuple[int, Image.Image]]:
    with Image.open(PICTURE) as image:
        return [(index, image.convert("RGB")) for index in range(count)]


def read_one(runner: EngineRunner, task: str = "text", **options: Any) -> PageReading:
    """Read one page, with ``ReadOptions``' own options and the most tokens as ``max_tokens``."""
    limits = DecodeLimits(max_new_tokens=options.pop("max_tokens", 8192))
    [reading] = runner.read_pages(pages(1), ReadOptions(task, limits, **options))
    return reading


def actions(reading: PageReading) -> list[str]:
    return [fallback.action for fallback in reading.fallbacks]


def fail_embedding(
    monkeypatch: pytest.MonkeyPatch, runner: EngineRunner, *errors: Exception | None
) -> None:
    """Raise the next of ``errors`` each time that a page's attempt begins; None means success."""
    recognizer = runner._parts.model.recognizer
    embed_page = recognizer._embed_page
    script = iter(errors)

    def fail(page: Any, prompt: Any) -> torch.Tensor:
        error = next(script, None)
        if error:
            raise error
        return embed_page(page, prompt)

    monkeypatch.setattr(recognizer, "_embed_page", fail)
