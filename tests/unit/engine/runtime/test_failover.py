"""After failures the CPU reads, and the primary device comes back when it can be used again."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ocrd.engine.runtime import loaded_model
from ocrd.engine.runtime.devices import move
from ocrd.engine.runtime.failover import FailoverPolicy
from ocrd.errors import FreshWorkerNeeded
from tests.unit.engine.runtime.fake_devices import OUT_OF_MEMORY, FakeDevices, read_one, started


def test_a_return_that_fails_begins_a_cool_down_and_is_not_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    devices = FakeDevices(None, ValueError("once"))
    runner = started(devices, FailoverPolicy(max_fallbacks=3, cool_down_s=60.0))
    assert len(read_one(runner).fallbacks) == 1 and runner.current.device == "cpu"

    def fail_once(network: Any, device: torch.device, *, dtype: torch.dtype) -> None:
        monkeypatch.setattr(loaded_model, "move", move)
        raise RuntimeError(OUT_OF_MEMORY)

    monkeypatch.setattr(loaded_model, "move", fail_once)
    assert read_one(runner).fallbacks == () and runner.current.device == "cpu"
    assert read_one(runner).fallbacks == () and runner.current.device == "cpu"
    devices.now = 61.0
    assert read_one(runner).fallbacks == () and runner.current == runner.primary


def test_a_model_that_cannot_be_moved_to_the_cpu_needs_a_new_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runner = started(FakeDevices(None, ValueError("once")))

    def fail(*_: object, **_options: object) -> None:
        raise RuntimeError("command buffer exited with error status")

    monkeypatch.setattr(loaded_model, "move", fail)
    with pytest.raises(FreshWorkerNeeded, match="cannot be moved to the CPU: command buffer"):
        read_one(runner, in_new_worker=True)


def test_a_page_that_did_not_need_the_cpu_begins_no_cool_down() -> None:
    out_of_memory = RuntimeError(OUT_OF_MEMORY)
    devices = FakeDevices(None, out_of_memory, None, out_of_memory, None, None)
    runner = started(devices, FailoverPolicy(max_fallbacks=1, cool_down_s=3600.0))
    assert [len(read_one(runner).fallbacks) for _ in range(2)] == [1, 1]
    assert set(devices.ran) == {"mps"} and runner.current == runner.primary


def test_only_failures_in_a_row_begin_a_cool_down_and_a_self_test_ends_it() -> None:
    bad = ValueError("once")
    devices = FakeDevices(None, bad, None, bad, bad, None, None)
    runner = started(devices, FailoverPolicy(max_fallbacks=2, cool_down_s=60.0))
    assert [len(read_one(runner).fallbacks) for _ in range(4)] == [1, 0, 1, 1]
    devices.ran.clear()
    assert read_one(runner).fallbacks == () and devices.ran == ["cpu"]
    devices.now = 61.0
    # The self-test, then the page.
    assert read_one(runner).fallbacks == () and devices.ran == ["cpu", "mps", "mps"]
    assert read_one(runner).fallbacks == () and runner.current == runner.primary


def test_a_self_test_that_fails_after_the_cool_down_begins_another_one() -> None:
    bad = ValueError("again")
    devices = FakeDevices(None, bad, bad, None, None)
    runner = started(devices, FailoverPolicy(max_fallbacks=1, cool_down_s=60.0))
    assert len(read_one(runner).fallbacks) == 1
    devices.now = 61.0
    assert read_one(runner).fallbacks == () and runner.current.device == "cpu"
    devices.now = 120.0  # within the second cool-down
    devices.ran.clear()
    assert read_one(runner).fallbacks == () and devices.ran == ["cpu"]
    devices.now = 122.0
    assert read_one(runner).fallbacks == () and runner.current == runner.primary
