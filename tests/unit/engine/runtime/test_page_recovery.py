"""A page that fails is retried step by step, and its reading has every step."""

from __future__ import annotations

import pytest

from ocrd.errors import EngineError, FreshWorkerNeeded, UsageError
from tests.unit.engine.runtime.fake_devices import (
    DTYPE_ERROR,
    OUT_OF_MEMORY,
    FakeDevices,
    actions,
    read_one,
    started,
)


def test_too_little_memory_ends_in_a_smaller_mode() -> None:
    """The pocket model has one mode. What counts is that the page is read in the smaller one."""
    out_of_memory = RuntimeError(OUT_OF_MEMORY)
    devices = FakeDevices(None, out_of_memory, out_of_memory, None)
    runner = started(devices)
    runner._parts.model.recognizer.mode = "gundam"
    reading = read_one(runner, max_tokens=8)
    assert reading.mode == "base" and actions(reading) == ["free-cache", "smaller-mode (base)"]
    assert devices.freed == 1
    assert runner.mode == "gundam"  # in which the next page is read again


def test_a_page_that_fails_on_the_cpu_too_is_an_error_with_its_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runner = started(FakeDevices(None, RuntimeError(DTYPE_ERROR)))
    recognizer = runner._parts.model.recognizer

    def fail(*_: object, **__: object) -> None:
        raise ValueError("still wrong")

    with monkeypatch.context() as patch:
        patch.setattr(recognizer, "read", fail)
        with pytest.raises(EngineError, match="page 1: other on cpu in float32: still wrong"):
            read_one(runner)
    # The next page is read on the primary device again.
    assert read_one(runner).fallbacks == () and runner.current == runner.primary


def test_a_wedged_gpu_needs_a_new_worker_and_in_one_the_cpu_reads() -> None:
    wedged = RuntimeError("command buffer exited with error status")
    with pytest.raises(FreshWorkerNeeded, match="page 1: mps-wedged on mps in float32") as raised:
        read_one(started(FakeDevices(None, wedged)))
    assert [fallback.action for fallback in raised.value.fallbacks] == ["fresh-worker"]
    assert actions(read_one(started(FakeDevices(None, wedged)), in_new_worker=True)) == ["cpu"]


def test_an_unknown_task_is_the_callers_mistake_and_not_a_failure() -> None:
    devices = FakeDevices()
    runner = started(devices)
    with pytest.raises(UsageError, match="dance"):
        read_one(runner, "dance")
    assert devices.ran == ["mps", "mps"]
