"""The worker is ready only when it can read."""

from __future__ import annotations

import io

import pytest

from ocrd.config import Config
from ocrd.documents import library_warnings
from ocrd.errors import ModelError
from ocrd.worker import child
from ocrd.worker.messages import StartFailed, WorkerMessage, WorkerSetup

SETUP = WorkerSetup(Config().model, "cpu", "auto", "auto")


def start(monkeypatch: pytest.MonkeyPatch, error: Exception | None) -> list[WorkerMessage]:
    """What a worker sends whose model loads, or fails with ``error``."""

    class LoadedStartup:
        def __init__(self, *_: object, **_options: object) -> None:
            pass

        def run(self) -> object:
            if error is not None:
                raise error
            return object()

    monkeypatch.setattr(child, "Startup", LoadedStartup)
    worker = child.Child(io.BytesIO(), io.BytesIO())
    sent: list[WorkerMessage] = []
    monkeypatch.setattr(worker, "send", sent.append)
    assert worker._make_ready(SETUP) is None
    return sent


def test_a_broken_model_is_reported_as_the_models_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = start(monkeypatch, ModelError("a shard is missing"))
    assert sent == [StartFailed("model", "a shard is missing")]


def test_a_document_library_that_fails_is_reported_before_the_worker_is_ready(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object) -> None:
        raise ImportError("libpdfium is missing")

    monkeypatch.setattr(library_warnings, "LibraryWarningLog", broken)
    (failure,) = start(monkeypatch, None)
    assert isinstance(failure, StartFailed) and failure.kind == "engine"
    assert "libpdfium is missing" in failure.message
