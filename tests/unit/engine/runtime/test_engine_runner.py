"""The engine as the worker sees it."""

from __future__ import annotations

import pytest
from PIL import Image

from ocrd.engine.runtime import time_limits
from ocrd.engine.runtime.engine_runner import EngineOptions, EngineRunner
from ocrd.engine.runtime.self_test import SelfTest
from ocrd.errors import EngineError, UsageError
from ocrd.paths import POCKET_MODEL
from tests.unit.engine.runtime.fake_devices import PICTURE, TEXT, FakeDevices, started


class RecordedStart:
    def __init__(self) -> None:
        self.shares: list[float] = []
        self.timeouts: list[float] = []

    def loaded(self, share: float) -> None:
        self.shares.append(share)

    def self_test_started(self, timeout_s: float) -> None:
        self.timeouts.append(timeout_s)


def test_loading_and_each_self_test_are_reported() -> None:
    progress = RecordedStart()
    runner = EngineRunner(
        POCKET_MODEL,
        EngineOptions(),
        devices=FakeDevices(ValueError("once")),
        self_test=SelfTest(PICTURE, TEXT),
        progress=progress,
    )
    runner.start()
    assert progress.shares[-1] == 1.0 and progress.shares == sorted(progress.shares)
    # The first device fails before its self-test begins.
    assert progress.timeouts == [time_limits.page_timeout_s(views=1, tokens=48)]


def test_a_device_that_is_not_there_is_an_error_before_anything_is_loaded() -> None:
    with pytest.raises(EngineError, match="'cuda', but this machine has only: mps, cpu"):
        EngineRunner(
            POCKET_MODEL,
            EngineOptions(device="cuda"),
            devices=FakeDevices(),
            self_test=SelfTest(PICTURE, TEXT),
        )


def test_a_page_may_take_longer_the_more_views_and_tokens_it_has() -> None:
    runner = started(FakeDevices())
    page = Image.new("RGB", (1280, 1920))
    one_view = time_limits.VIEW_TIMEOUT_S + 16 * time_limits.TOKEN_TIMEOUT_S
    assert runner.timeout_s(page, tokens=16) == one_view
    runner._parts.model.recognizer.mode = "gundam"  # 2 x 3 tiles
    assert runner.timeout_s(page, tokens=16) == one_view + 6 * time_limits.VIEW_TIMEOUT_S


def test_an_unknown_mode_is_refused_at_the_start() -> None:
    runner = EngineRunner(
        POCKET_MODEL,
        EngineOptions(mode="huge"),
        devices=FakeDevices(),
        self_test=SelfTest(PICTURE, TEXT),
    )
    with pytest.raises((UsageError, EngineError), match="huge"):
        runner.start()
