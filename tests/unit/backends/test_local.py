"""How the local backend starts, watches and ends a worker. The workers are real processes."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from ocrd.errors import BackendCrashed, EngineError, ModelError
from ocrd.status import EngineReady, ModelProgress
from ocrd.types import ModelIdentity
from ocrd.worker import process
from tests.scripted_worker import SETUP, ScriptedWorker


def test_every_step_of_healing_starts_the_deadline_again(scripted_worker: ScriptedWorker) -> None:
    backend = scripted_worker.backend_with("""
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
    progress = [s.done_bytes for s in scripted_worker.statuses if isinstance(s, ModelProgress)]
    assert progress == [0, 1, 2, 3, 4]
    assert isinstance(scripted_worker.statuses[-1], EngineReady)


def test_waiting_for_the_hub_does_not_count_as_a_hang(scripted_worker: ScriptedWorker) -> None:
    backend = scripted_worker.backend_with("""
        send("preparing", status={"state": "waiting", "message": "no network", "retry_in_s": 1.0})
        time.sleep(1.2)
        ready()
        requests.read()
    """)
    assert backend.start().model == ModelIdentity("a/b", None)


def test_a_worker_that_is_silent_past_the_deadline_is_ended(
    scripted_worker: ScriptedWorker,
) -> None:
    backend = scripted_worker.backend_with("time.sleep(60)", deadline_s=0.3)
    with pytest.raises(BackendCrashed, match="no sign of life while starting"):
        backend.start()
    assert not backend.ready


def test_loading_does_not_extend_its_own_deadline(scripted_worker: ScriptedWorker) -> None:
    backend = scripted_worker.backend_with("""
        for n in range(100):
            loading(n / 100)
            time.sleep(0.1)
    """)
    with pytest.raises(BackendCrashed, match="no sign of life while loading the model"):
        backend.start()


@pytest.mark.parametrize(("kind", "error"), [("model", ModelError), ("engine", EngineError)])
def test_a_failed_start_is_a_model_error_or_an_engine_error(
    scripted_worker: ScriptedWorker, kind: str, error: type[Exception]
) -> None:
    backend = scripted_worker.backend_with(f"""
        send("start-failed", kind={kind!r}, message="it is broken: all of it")
    """)
    with pytest.raises(error, match="all of it") as caught:
        backend.start()
    assert type(caught.value) is error


def test_the_error_of_a_crash_names_the_exit_code_or_signal(
    scripted_worker: ScriptedWorker,
) -> None:
    backend = scripted_worker.backend_with("os._exit(7)")
    with pytest.raises(BackendCrashed, match="exit code 7"):
        backend.start()
    backend = scripted_worker.backend_with("import signal; os.kill(os.getpid(), signal.SIGSEGV)")
    with pytest.raises(BackendCrashed, match="signal 11"):
        backend.start()


def test_the_error_of_a_crash_names_what_the_worker_was_doing(
    scripted_worker: ScriptedWorker,
) -> None:
    backend = scripted_worker.backend_with("""
        healing(1)
        os._exit(3)
    """)
    with pytest.raises(BackendCrashed, match="died while healing the model"):
        backend.start()


def test_a_worker_that_ends_while_it_is_idle_is_noticed(scripted_worker: ScriptedWorker) -> None:
    backend = scripted_worker.backend_with("""
        ready()
        time.sleep(0.3)
    """)
    backend.start()
    assert backend.ready and scripted_worker.ended.wait(5) and not backend.ready


def test_the_setup_message_asks_for_a_full_verification(scripted_worker: ScriptedWorker) -> None:
    script = """
        ready(device=str(setup["verify_fully"]))
        requests.read()
    """
    assert scripted_worker.backend_with(script).start().device == "False"
    assert scripted_worker.backend_with(script).start(verify_fully=True).device == "True"


def test_a_worker_without_heartbeat_is_ended_before_its_deadline(
    scripted_worker: ScriptedWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "HEARTBEAT_TIMEOUT_S", 0.4)
    backend = scripted_worker.backend_with("time.sleep(60)", deadline_s=50.0)
    started = time.monotonic()
    with pytest.raises(BackendCrashed, match="no sign of life"):
        backend.start()
    assert time.monotonic() - started < 10


def test_heartbeats_do_not_extend_a_deadline(scripted_worker: ScriptedWorker) -> None:
    backend = scripted_worker.backend_with("""
        for _ in range(100):
            send("heartbeat")
            time.sleep(0.1)
    """)
    with pytest.raises(BackendCrashed, match="no sign of life"):
        backend.start()


def test_cpu_only_starts_another_worker_and_the_next_start_goes_back(
    scripted_worker: ScriptedWorker,
) -> None:
    script = """
        ready(device=setup["device"])
        requests.read()
    """
    backend = scripted_worker.backend_with(script, setup=replace(SETUP, device="auto"))
    assert backend.start().device == "auto"
    first = backend.pid
    assert backend.start().device == "auto" and backend.pid == first
    assert backend.start(cpu_only=True).device == "cpu" and backend.pid != first
    assert backend.start().device == "auto"


def test_two_crashes_while_loading_disable_the_gpu_for_a_while(
    scripted_worker: ScriptedWorker,
) -> None:
    script = """
        loading(1.0)
        if setup["device"] != "cpu":
            os._exit(6)
        ready()
        requests.read()
    """
    setup = replace(SETUP, device="auto", cool_down_s=0.5)
    backend = scripted_worker.backend_with(script, setup=setup)
    for _ in range(2):
        with pytest.raises(BackendCrashed, match="loading"):
            backend.start()
    info = backend.start()
    assert "every device but the CPU" in info.skipped[-1]
    assert backend.start() is info  # the next document does not start another worker
    time.sleep(0.5)
    with pytest.raises(BackendCrashed, match="exit code 6"):
        backend.start()  # the cool-down is over: the GPU is tried again


def test_garbage_on_the_pipe_is_skipped(scripted_worker: ScriptedWorker) -> None:
    backend = scripted_worker.backend_with("""
        messages.write(b'not json\\n' + b'[' * 100000 + b'\\n[1, 2]\\n{"no": "event"}\\n')
        messages.write(b'{"event": "page", "job": 3}\\n{"event": "new"}\\n\\xff\\xfe\\n')
        messages.flush()
        ready()
        requests.read()
    """)
    assert backend.start().mode == "native"


def test_a_worker_that_never_ends_its_line_is_ended(
    scripted_worker: ScriptedWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "MAX_LINE_BYTES", 1000)
    script = """
        messages.write(b"x" * 5000)
        messages.flush()
        time.sleep(60)
    """
    backend = scripted_worker.backend_with(script, deadline_s=50.0)
    started = time.monotonic()
    with pytest.raises(BackendCrashed, match="signal 9"):
        backend.start()
    assert time.monotonic() - started < 10
