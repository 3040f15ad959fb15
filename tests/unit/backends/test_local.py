"""The local backend against real processes that speak the protocol and do as each test says."""

from __future__ import annotations

import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ocrd.backends import conversation
from ocrd.backends.local import LocalBackend
from ocrd.config import Config
from ocrd.errors import BackendCrashed, BackendExhausted, BatchFailed, EngineError, ModelError
from ocrd.reading import DocumentFinished, DocumentRefused, PageRead, ReadRequest
from ocrd.status import EngineReady, ModelProgress, PreparationStatus
from ocrd.types import ModelIdentity
from ocrd.worker import process
from ocrd.worker.memory_limit import MemoryLimits
from ocrd.worker.messages import WorkerSetup

INTERPRETER = sys.executable
SETUP = WorkerSetup(Config().model, "cpu", "auto", "auto")
REQUEST = ReadRequest("j", Path("/x.png"), "text", 0, 10, 10.0, 200, 1, 1)

# What every scripted worker begins with. `send` sends a message, `setup` is what it was given.
PRELUDE = """
import json, os, sys, time
requests = os.fdopen(int(sys.argv[-2]), "rb")
messages = os.fdopen(int(sys.argv[-1]), "wb")
setup = json.loads(requests.readline())

def send(event, **fields):
    messages.write(json.dumps({"event": event, **fields}).encode() + b"\\n")
    messages.flush()

def healing(done):
    send("preparing", status={"state": "healing", "phase": "fetching", "done_bytes": done,
         "total_bytes": 5, "bytes_per_s": None, "remaining_s": None})

def loading(share):
    send("preparing", status={"state": "loading", "share": share})

def ready(**fields):
    send("ready", backend={"device": "cpu", "dtype": "float32", "mode": "native", "torch": "2",
         "transformers": "5", "model": {"repo": "a/b", "revision": None}, **fields})

def page(job="j", index=0):
    send("page", job=job, reading={"index": index, "json": "{}"})
"""


class Stage:
    """Puts a script in the worker's place."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._monkeypatch = monkeypatch
        self.statuses: list[PreparationStatus | EngineReady] = []
        self.ended = threading.Event()
        self.backend: LocalBackend | None = None

    def end(self) -> None:
        if self.backend is not None:
            self.backend.stop()
            self.backend.unload()

    def backend_with(
        self,
        script: str,
        *,
        deadline_s: float = 0.5,
        setup: WorkerSetup = SETUP,
        memory_limits: MemoryLimits = MemoryLimits(),  # noqa: B008 - frozen
    ) -> LocalBackend:
        self.end()
        path = self._folder / "worker"
        path.write_text(f"#!{INTERPRETER}\n{PRELUDE}\n{textwrap.dedent(script)}")
        path.chmod(0o755)
        self._monkeypatch.setattr(sys, "executable", str(path))
        self.backend = LocalBackend(
            setup,
            deadline_s,
            on_status=self.statuses.append,
            on_end=self.ended.set,
            memory_limits=memory_limits,
        )
        return self.backend


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    stage = Stage(tmp_path, monkeypatch)
    yield stage
    stage.end()


def test_every_step_of_healing_starts_the_deadline_again(stage: Stage) -> None:
    backend = stage.backend_with("""
        for done in range(5):
            healing(done)
            time.sleep(0.3)
        loading(1.0)
        ready()
        requests.read()
    """)
    started = time.monotonic()
    assert backend.start().device == "cpu" and backend.ready
    assert time.monotonic() - started > 1.0  # longer than the deadline for loading
    progress = [s.done_bytes for s in stage.statuses if isinstance(s, ModelProgress)]
    assert progress == [0, 1, 2, 3, 4]
    assert isinstance(stage.statuses[-1], EngineReady)


def test_waiting_for_the_hub_is_not_a_hang(stage: Stage) -> None:
    backend = stage.backend_with("""
        send("preparing", status={"state": "waiting", "message": "no network", "retry_in_s": 1.0})
        time.sleep(1.2)
        ready()
        requests.read()
    """)
    assert backend.start().model == ModelIdentity("a/b", None)


def test_a_worker_that_is_silent_beyond_the_deadline_is_ended(stage: Stage) -> None:
    backend = stage.backend_with("time.sleep(60)", deadline_s=0.3)
    with pytest.raises(BackendCrashed, match="no sign of life while starting"):
        backend.start()
    assert not backend.ready


def test_loading_does_not_extend_its_own_deadline(stage: Stage) -> None:
    backend = stage.backend_with("""
        for n in range(100):
            loading(n / 100)
            time.sleep(0.1)
    """)
    with pytest.raises(BackendCrashed, match="no sign of life while loading the model"):
        backend.start()


@pytest.mark.parametrize(("kind", "error"), [("model", ModelError), ("engine", EngineError)])
def test_a_start_that_fails_says_whether_it_is_the_model_or_the_engine(
    stage: Stage, kind: str, error: type[Exception]
) -> None:
    backend = stage.backend_with(f"""
        send("start-failed", kind={kind!r}, message="it is broken: all of it")
    """)
    with pytest.raises(error, match="all of it") as caught:
        backend.start()
    assert type(caught.value) is error


def test_a_crash_says_how(stage: Stage) -> None:
    backend = stage.backend_with("os._exit(7)")
    with pytest.raises(BackendCrashed, match="exit code 7"):
        backend.start()
    backend = stage.backend_with("import signal; os.kill(os.getpid(), signal.SIGSEGV)")
    with pytest.raises(BackendCrashed, match="signal 11"):
        backend.start()


def test_a_crash_says_what_the_worker_was_doing(stage: Stage) -> None:
    backend = stage.backend_with("""
        healing(1)
        os._exit(3)
    """)
    with pytest.raises(BackendCrashed, match="died while healing the model"):
        backend.start()


def test_a_worker_that_ends_while_it_is_idle_is_noticed(stage: Stage) -> None:
    backend = stage.backend_with("""
        ready()
        time.sleep(0.3)
    """)
    backend.start()
    assert backend.ready and stage.ended.wait(5) and not backend.ready


def test_the_worker_is_told_to_verify_every_byte(stage: Stage) -> None:
    script = """
        ready(device=str(setup["verify_fully"]))
        requests.read()
    """
    assert stage.backend_with(script).start().device == "False"
    assert stage.backend_with(script).start(verify_fully=True).device == "True"


def test_a_worker_without_heartbeat_is_ended_before_its_deadline(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "HEARTBEAT_TIMEOUT_S", 0.4)
    backend = stage.backend_with("time.sleep(60)", deadline_s=50.0)
    started = time.monotonic()
    with pytest.raises(BackendCrashed, match="no sign of life"):
        backend.start()
    assert time.monotonic() - started < 10


def test_heartbeats_do_not_extend_a_deadline(stage: Stage) -> None:
    backend = stage.backend_with("""
        for _ in range(100):
            send("heartbeat")
            time.sleep(0.1)
    """)
    with pytest.raises(BackendCrashed, match="no sign of life"):
        backend.start()


def test_cpu_only_means_another_worker_and_back(stage: Stage) -> None:
    script = """
        ready(device=setup["device"])
        requests.read()
    """
    backend = stage.backend_with(script, setup=replace(SETUP, device="auto"))
    assert backend.start().device == "auto"
    first = backend.pid
    assert backend.start().device == "auto" and backend.pid == first
    assert backend.start(cpu_only=True).device == "cpu" and backend.pid != first
    assert backend.start().device == "auto"


def test_two_crashes_while_loading_disable_the_gpu_for_a_while(stage: Stage) -> None:
    script = """
        loading(1.0)
        if setup["device"] != "cpu":
            os._exit(6)
        ready()
        requests.read()
    """
    setup = replace(SETUP, device="auto", cool_down_s=0.5)
    backend = stage.backend_with(script, setup=setup)
    for _ in range(2):
        with pytest.raises(BackendCrashed, match="loading"):
            backend.start()
    info = backend.start()
    assert "every device but the CPU" in info.skipped[-1]
    assert backend.start() is info  # the next document does not start another worker
    time.sleep(0.5)
    with pytest.raises(BackendCrashed, match="exit code 6"):
        backend.start()  # the cool-down is over: the GPU is tried again


def test_garbage_on_the_pipe_is_skipped(stage: Stage) -> None:
    backend = stage.backend_with("""
        messages.write(b'not json\\n' + b'[' * 100000 + b'\\n[1, 2]\\n{"no": "event"}\\n')
        messages.write(b'{"event": "page", "job": 3}\\n{"event": "new"}\\n\\xff\\xfe\\n')
        messages.flush()
        ready()
        requests.read()
    """)
    assert backend.start().mode == "native"


def test_a_worker_that_never_ends_its_line_is_ended(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "MAX_LINE_BYTES", 1000)
    script = """
        messages.write(b"x" * 5000)
        messages.flush()
        time.sleep(60)
    """
    backend = stage.backend_with(script, deadline_s=50.0)
    started = time.monotonic()
    with pytest.raises(BackendCrashed, match="signal 9"):
        backend.start()
    assert time.monotonic() - started < 10


def test_a_worker_that_reports_an_end_with_missing_pages_is_not_believed(stage: Stage) -> None:
    backend = stage.backend_with("""
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


def test_a_message_that_makes_no_sense_while_reading_is_a_crash(stage: Stage) -> None:
    backend = stage.backend_with("""
        ready()
        requests.readline()
        ready()
        requests.read()
    """)
    with pytest.raises(BackendCrashed, match="unexpected message: ready"):
        list(backend.read(REQUEST))


def test_an_exhausted_worker_hands_over_what_it_tried(stage: Stage) -> None:
    backend = stage.backend_with("""
        ready()
        requests.readline()
        fallback = {"page": 1, "kind": "mps-oom", "message": "m", "device": "mps",
                    "dtype": "float32", "action": "fresh-worker"}
        send("exhausted", job="j", message="no memory", fallbacks=[fallback])
    """)
    with pytest.raises(BackendExhausted, match="no memory") as caught:
        list(backend.read(REQUEST))
    assert [fallback.kind for fallback in caught.value.fallbacks] == ["mps-oom"]


def test_each_document_of_a_batch_ends_by_itself(stage: Stage) -> None:
    backend = stage.backend_with("""
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


def test_an_aborted_batch_leaves_the_worker_running(stage: Stage) -> None:
    backend = stage.backend_with("""
        ready()
        requests.readline()
        send("batch-aborted", message="which of them?")
        requests.read()
    """)
    with pytest.raises(BatchFailed, match="which of them"):
        list(backend.read_together([replace(REQUEST, job="a"), replace(REQUEST, job="b")]))
    assert backend.ready


def test_a_reader_that_leaves_in_the_middle_ends_the_worker(stage: Stage) -> None:
    backend = stage.backend_with("""
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


def test_a_worker_that_grew_too_large_is_replaced_after_its_document(stage: Stage) -> None:
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
    backend = stage.backend_with(script, memory_limits=MemoryLimits(max_growth_bytes=100))
    list(backend.read(REQUEST))
    first = backend.pid
    list(backend.read(REQUEST))
    assert backend.pid == first
    list(backend.read(REQUEST))
    assert not backend.ready


def test_a_page_without_tokens_beyond_its_own_limit_is_a_hang(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "GRACE_S", 0.1)
    backend = stage.backend_with("""
        ready()
        requests.readline()
        send("opened", job="j", page_count=1)
        send("page-started", job="j", page=0, timeout_s=0.2)
        time.sleep(60)
    """)
    with pytest.raises(BackendCrashed, match="no sign of life while reading x\\.png"):
        list(backend.read(REQUEST))


def test_stop_ends_a_read_in_progress_and_starts_no_other(stage: Stage) -> None:
    backend = stage.backend_with("""
        ready()
        requests.read()
    """)
    backend.start()
    threading.Timer(0.2, backend.stop).start()
    with pytest.raises(BackendCrashed):
        list(backend.read(REQUEST))
    with pytest.raises(BackendCrashed, match="being stopped"):
        backend.start()
