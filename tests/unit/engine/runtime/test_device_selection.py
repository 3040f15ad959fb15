"""The first device of the plan that passes the self-test is used, and the reasons are kept."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ocrd.engine import recognizer
from ocrd.engine.nn.checkpoint import load_network
from ocrd.errors import EngineError
from tests.unit.engine.runtime.fake_devices import (
    FakeDevices,
    actions,
    new_runner,
    read_one,
    started,
)


def test_when_no_candidate_passes_the_error_has_the_reason_of_each() -> None:
    devices = FakeDevices(ValueError("first"), ValueError("second"))
    runner = new_runner(devices, expected_text="words that are not in the picture at all")
    with pytest.raises(EngineError, match=r"first.*second.*self-test.*self-test"):
        runner.start()
    assert len(runner.skipped) == 4
    assert "on cpu in float32" in runner.skipped[2] and "on cpu in bfloat16" in runner.skipped[3]


def test_a_network_with_a_tensor_elsewhere_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_half(*arguments: Any, **options: Any) -> Any:
        network = load_network(*arguments, **options)
        network.projector.to(torch.bfloat16)
        return network

    monkeypatch.setattr(recognizer, "load_network", load_half)
    runner = started(FakeDevices())
    assert runner.skipped[0].startswith(
        "mps in float32 (other: projector.layers.weight is on cpu in torch.bfloat16"
    )
    assert runner.primary.dtype == "bfloat16"  # the next candidate, to which all of it was moved


def test_on_a_small_machine_the_cpu_reads_in_the_dtype_that_fits() -> None:
    runner = started(FakeDevices(None, ValueError("once"), memory_bytes=20_000_000))
    assert (runner.primary.device, runner.primary.dtype) == ("mps", "bfloat16")
    assert actions(read_one(runner)) == ["cpu"]
    assert (runner.current.device, runner.current.dtype) == ("cpu", "bfloat16")


def test_the_caches_of_skipped_devices_are_freed() -> None:
    devices = FakeDevices(ValueError("first"), ValueError("second"))
    runner = started(devices)
    assert runner.primary.device == "cpu"
    assert devices.freed == 2
