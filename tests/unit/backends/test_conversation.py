"""How the local backend reads documents and batches, and when it replaces the worker."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from ocrd.backends import conversation
from ocrd.errors import BackendCrashed, BackendExhausted, BatchFailed
from ocrd.read_protocol import DocumentFinished, DocumentRefused, PageRead, ReadRequest
from ocrd.worker.memory_limit import MemoryLimits
from tests.scripted_worker import ScriptedWorker

REQUEST = ReadRequest("j", Path("/x.png"), "text", 0, 10, 10.0, 200, 1, 1)


def test_a_worker_that_finishes_with_missing_pages_counts_as_crashed(
    scripted_worker: ScriptedWorker,
) -> None:
    backend = scripted_worker.backend_with("""
        ready()
        requests.readline()
        send("opened", job="j", page_count=3)
        page()
        send("finished", job="j")
        requests.read()
    """)
    with pytest.raises(BackendCrashed, match="2 pages are missing"):
        list(backend.read(REQUEST))
    assert not backend.ready


def test_an_unexpected_message_while_reading_counts_as_a_crash(
    scripted_worker: ScriptedWorker,
) -> None:
    backend = scripted_worker.backend_with("""
        ready()
        requests.readline()
        ready()
        requests.read()
    """)
    with pytest.raises(BackendCrashed, match="unexpected message: ready"):
        list(backend.read(REQUEST))


def test_the_error_of_an_exhausted_worker_has_its_fallbacks(
    scripted_worker: ScriptedWorker,
) -> None:
    backend = scripted_worker.backend_with("""
        ready()
        requests.readline()
        fallback = {"page": 1, "kind": "mps-oom", "message": "m", "device": "mps",
                    "dtype": "float32", "action": "fresh-worker"}
        send("exhausted", job="j", message="no memory", fallbacks=[fallback])
    """)
    with pytest.raises(BackendExhausted, match="no memory") as caught:
        list(backend.read(REQUEST))
    assert [fallback.kind for fallback in caught.value.fallbacks] == ["mps-oom"]


def test_each_document_of_a_batch_ends_separately(scripted_worker: ScriptedWorker) -> None:
    backend = scripted_worker.backend_with("""
        ready()
        requests.readline()
        send("opened", job="a", page_count=1)
        send("refused", job="b", reason="damaged", message="b is damaged")
        page("a")
        page("unknown job")
        send("memory", resident=1, driver=2)
        send("finished", job="a")
        requests.read()
    """)
    events = list(backend.read_together([replace(REQUEST, job="a"), replace(REQUEST, job="b")]))
    assert [type(event) for event in events[1:]] == [DocumentRefused, PageRead, DocumentFinished]
    assert backend.ready


def test_an_aborted_batch_leaves_the_worker_running(scripted_worker: ScriptedWorker) -> None:
    backend = scripted_worker.backend_with("""
        ready()
        requests.readline()
        send("batch-aborted", message="which of them?")
        requests.read()
    """)
    with pytest.raises(BatchFailed, match="which of them"):
        list(backend.read_together([replace(REQUEST, job="a"), replace(REQUEST, job="b")]))
    assert backend.ready


def test_a_caller_that_stops_reading_in_the_middle_ends_the_worker(
    scripted_worker: ScriptedWorker,
) -> None:
    backend = scripted_worker.backend_with("""
        ready()
        requests.readline()
        send("opened", job="j", page_count=2)
        page()
        requests.read()
    """)
    for event in backend.read(REQUEST):
        if isinstance(event, PageRead):
            break
    del event
    assert not backend.ready


def test_a_worker_that_grew_too_large_is_replaced_after_its_document(
    scripted_worker: ScriptedWorker,
) -> None:
    script = """
        ready()
        resident = 100
        while requests.readline():
            send("opened", job="j", page_count=1)
            page()
            send("memory", resident=resident, driver=0)
            send("finished", job="j")
            resident += 60
    """
    backend = scripted_worker.backend_with(script, memory_limits=MemoryLimits(max_growth_bytes=100))
    list(backend.read(REQUEST))
    first = backend.pid
    list(backend.read(REQUEST))
    assert backend.pid == first
    list(backend.read(REQUEST))
    assert not backend.ready


def test_a_page_without_tokens_past_its_timeout_counts_as_a_hang(
    scripted_worker: ScriptedWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "GRACE_S", 0.1)
    backend = scripted_worker.backend_with("""
        ready()
        requests.readline()
        send("opened", job="j", page_count=1)
        send("page-started", job="j", page=0, timeout_s=0.2)
        time.sleep(60)
    """)
    with pytest.raises(BackendCrashed, match="no sign of life while reading x\\.png"):
        list(backend.read(REQUEST))


def test_stop_ends_a_read_in_progress_and_prevents_another_start(
    scripted_worker: ScriptedWorker,
) -> None:
    backend = scripted_worker.backend_with("""
        ready()
        requests.read()
    """)
    backend.start()
    threading.Timer(0.2, backend.stop).start()
    with pytest.raises(BackendCrashed):
        list(backend.read(REQUEST))
    with pytest.raises(BackendCrashed, match="being stopped"):
        backend.start()
