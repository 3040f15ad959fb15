"""Pages are read together, and a batch that fails loses none of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PIL import Image

from ocrd.engine.runtime.failover import FailoverPolicy
from ocrd.engine.runtime.read_options import ReadOptions
from ocrd.errors import DamagedDocument, UsageError
from ocrd.types import PageReading
from tests.unit.engine.runtime.fake_devices import (
    DTYPE_ERROR,
    OUT_OF_MEMORY,
    TEXT,
    FakeDevices,
    actions,
    fail_embedding,
    pages,
    started,
)

pytestmark = pytest.mark.slow


class TokenCounts:
    def __init__(self) -> None:
        self.counts: dict[int, int] = {}

    def attempt(self, index: int) -> None:
        pass

    def tokens(self, index: int, count: int) -> None:
        self.counts[index] = count


def actions_of(readings: list[PageReading]) -> list[list[str]]:
    return [actions(reading) for reading in readings]


def test_a_document_is_read_in_batches_and_comes_in_order() -> None:
    runner = started(FakeDevices(), batch=3)
    requested: list[int] = []
    progress = TokenCounts()

    def source() -> Iterator[tuple[int, Image.Image]]:
        for index, image in pages(5):
            requested.append(index)
            yield index, image

    readings: list[PageReading] = []
    for reading in runner.read_pages(source(), ReadOptions(progress=progress)):
        # A picture is requested when there is room for it.
        assert len(requested) <= len(readings) + 4
        readings.append(reading)
    assert [r.index for r in readings] == list(range(5)) and {r.text for r in readings} == {TEXT}
    assert progress.counts == {r.index: r.tokens for r in readings}
    assert actions_of(readings) == [[]] * 5


def test_a_batch_that_fails_is_read_page_by_page_with_every_recovery_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    error = RuntimeError("Input type (c10::BFloat16) and bias type (float) should be the same")
    runner = started(FakeDevices(), batch=3)
    # Page 2 fails in the batch, and once more alone.
    fail_embedding(monkeypatch, runner, None, error, None, error)
    readings = list(runner.read_pages(pages(5), ReadOptions()))
    assert {r.text for r in readings} == {TEXT} and [r.index for r in readings] == list(range(5))
    assert actions_of(readings) == [["alone"], ["alone", "cpu"], [], [], []]
    assert runner.current == runner.primary and runner.batch == 3


def test_too_little_memory_makes_the_batches_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    devices = FakeDevices()
    runner = started(devices, batch=8)
    out_of_memory = RuntimeError(OUT_OF_MEMORY)
    fail_embedding(monkeypatch, runner, None, out_of_memory, None, None, out_of_memory)
    readings = list(runner.read_pages(pages(9), ReadOptions()))
    assert {r.text for r in readings} == {TEXT} and [r.index for r in readings] == list(range(9))
    smaller = ["smaller-batch (4)", "smaller-batch (2)"]
    assert actions_of(readings) == [smaller, smaller, smaller[1:], *[[]] * 6]
    # From now on, so that the next document does not fail in the same way. The last batch's memory
    # is freed, too.
    assert runner.batch == 2 and devices.freed == 3


def test_the_error_of_a_page_that_cannot_be_opened_comes_after_the_pages_before_it() -> None:
    runner = started(FakeDevices(), batch=4)

    def source() -> Iterator[tuple[int, Image.Image]]:
        yield from pages(3)
        raise DamagedDocument("page 4 is damaged")

    readings = runner.read_pages(source(), ReadOptions())
    assert [next(readings).index for _ in range(3)] == [0, 1, 2]
    with pytest.raises(DamagedDocument, match="page 4"):
        next(readings)


def test_during_a_cool_down_the_cpu_reads_pages_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    error = RuntimeError(DTYPE_ERROR)
    runner = started(FakeDevices(), FailoverPolicy(max_fallbacks=1, cool_down_s=60), batch=2)
    fail_embedding(monkeypatch, runner, error, error)
    readings = list(runner.read_pages(pages(4), ReadOptions()))
    assert actions_of(readings) == [["alone", "cpu"], [], [], []]
    assert runner.current.device == "cpu" and {r.text for r in readings} == {TEXT}


def test_pages_of_a_device_that_always_fails_are_read_on_the_cpu() -> None:
    devices = FakeDevices(None, *[RuntimeError(DTYPE_ERROR)] * 20)
    readings = list(started(devices, batch=2).read_pages(pages(3), ReadOptions()))
    assert {r.text for r in readings} == {TEXT}
    assert [steps[-1:] for steps in actions_of(readings)] == [["cpu"]] * 3


def test_an_unknown_task_is_an_error_whatever_the_number_of_pages() -> None:
    runner = started(FakeDevices(), batch=2)
    for count in (1, 3):
        with pytest.raises(UsageError, match="dance"):
            list(runner.read_pages(pages(count), ReadOptions(task="dance")))


def test_page_by_page_reads_no_batch() -> None:
    devices = FakeDevices()
    runner = started(devices, batch=4)
    devices.ran.clear()
    readings = list(runner.read_pages(pages(3), ReadOptions(page_by_page=True)))
    assert [r.index for r in readings] == [0, 1, 2]
    assert devices.ran == ["mps"] * 3


def test_the_batch_depends_on_the_memory_unless_it_is_given() -> None:
    assert started(FakeDevices(), batch=5).batch == 5
    # A pocket model has room for the largest batch.
    assert started(FakeDevices()).batch == 8
