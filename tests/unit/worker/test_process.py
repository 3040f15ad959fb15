"""The parent's side of the worker, against real processes that speak the protocol and do as each
test says.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ocrd.config import parse_config
from ocrd.errors import ModelError
from ocrd.worker import process as parent
from ocrd.worker.child import missing_variables
from ocrd.worker.from_config import worker_setup
from ocrd.worker.messages import Request, Setup
from ocrd.worker.process import Worker, WorkerDied

READY = {
    "event": "ready", "device": "cpu", "dtype": "float32", "mode": "native", "torch": "2", "transformers": "5",
    "model": {"repo": "a/b", "revision": None},
}  # fmt: skip
INTERPRETER = sys.executable
SETUP = Setup({"path": "pocket"}, "cpu", "auto", "auto")


class Stage:
    """Puts a script in the worker's place.

    `say(**message)` answers, `setup` is what it was told.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._monkeypatch = monkeypatch
        self.told: list[dict[str, Any]] = []
        self.worker: Worker | None = None

    def end(self) -> None:
        if self.worker is not None:
            self.worker.stop()
            self.worker._end()

    def worker_that(self, script: str, deadline: float = 0.5) -> Worker:
        self.end()
        path = self._folder / "worker"
        path.write_text(
            f"#!{INTERPRETER}\n"
            "import json, os, sys, time\n"
            "requests, answers = os.fdopen(int(sys.argv[-2]), 'rb'), os.fdopen(int(sys.argv[-1]), 'wb')\n"
            "setup = json.loads(requests.readline())\n"
            "def say(**message):\n    answers.write(json.dumps(message).encode() + b'\\n'); answers.flush()\n"
            f"READY = {READY!r}\n" + textwrap.dedent(script)
        )
        path.chmod(0o755)
        self._monkeypatch.setattr(sys, "executable", str(path))
        self.worker = Worker(SETUP, deadline, on_preparing=self.told.append)
        return self.worker


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    stage = Stage(tmp_path, monkeypatch)
    yield stage
    stage.end()


def test_each_sign_of_healing_begins_the_deadline_anew(stage: Stage) -> None:
    worker = stage.worker_that("""
        for done in range(5):
            say(event="preparing", state="healing", phase="fetching", done=done, total=5, speed=None, left=None)
            time.sleep(0.3)
        say(event="loading", done=1.0)
        say(**READY)
        requests.read()
    """)
    started = time.monotonic()
    assert worker.start().device == "cpu" and worker.warm
    assert time.monotonic() - started > 1.0  # longer than the deadline for loading
    assert [m["done"] for m in stage.told if m["event"] == "preparing"] == [0, 1, 2, 3, 4]


def test_waiting_for_the_hub_is_no_hang(stage: Stage) -> None:
    worker = stage.worker_that("""
        say(event="preparing", state="waiting", message="no network", seconds=1.0)
        time.sleep(1.2)
        say(**READY)
        requests.read()
    """)
    assert worker.start().model == {"repo": "a/b", "revision": None}


def test_silence_beyond_the_deadline_ends_it(stage: Stage) -> None:
    worker = stage.worker_that("time.sleep(60)", deadline=0.3)
    with pytest.raises(WorkerDied, match="no sign while starting"):
        worker.start()
    assert not worker.warm and worker.pid is None


def test_loading_itself_does_not_stretch_its_deadline(stage: Stage) -> None:
    worker = stage.worker_that("""
        for n in range(100):
            say(event="loading", done=n / 100)
            time.sleep(0.1)
    """)
    with pytest.raises(WorkerDied, match="no sign"):
        worker.start()


def test_a_broken_model_is_the_models_error(stage: Stage) -> None:
    worker = stage.worker_that("""
        say(event="refused", job=None, error="ModelError", reason="model", message="the model is broken: all of it")
    """)
    with pytest.raises(ModelError, match="all of it"):
        worker.start()


def test_a_death_says_how(stage: Stage) -> None:
    worker = stage.worker_that("os._exit(7)")
    with pytest.raises(WorkerDied, match="exit code 7"):
        worker.start()
    worker = stage.worker_that("import signal; os.kill(os.getpid(), signal.SIGSEGV)")
    with pytest.raises(WorkerDied, match="signal 11"):
        worker.start()


def test_a_worker_that_ends_while_nothing_is_asked_of_it_is_noticed_at_once(stage: Stage) -> None:
    ended = threading.Event()
    worker = stage.worker_that("""
        say(**READY)
        time.sleep(0.3)
    """)
    worker._on_end = ended.set
    worker.start()
    assert worker.warm and ended.wait(5) and not worker.warm


def test_what_it_was_at_when_it_died_is_said(stage: Stage) -> None:
    worker = stage.worker_that("""
        say(event="preparing", state="healing", phase="fetching", done=1, total=5, speed=None, left=None)
        os._exit(3)
    """)
    with pytest.raises(WorkerDied, match="died while healing the model"):
        worker.start()


def test_distrust_is_told_to_the_worker(stage: Stage) -> None:
    script = """
        say(**(READY | {"device": str(setup["distrust"])}))
        requests.read()
    """
    assert stage.worker_that(script).start().device == "False"
    assert stage.worker_that(script).start(distrust=True).device == "True"


def test_a_worker_that_beats_no_more_is_ended_before_its_deadline(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parent, "SILENCE", 0.4)
    worker = stage.worker_that("time.sleep(60)", deadline=50.0)
    started = time.monotonic()
    with pytest.raises(WorkerDied, match="no sign"):
        worker.start()
    assert time.monotonic() - started < 10


def test_beats_alone_do_not_stretch_a_deadline(stage: Stage) -> None:
    worker = stage.worker_that("""
        for _ in range(100):
            say(event="alive")
            time.sleep(0.1)
    """)
    with pytest.raises(WorkerDied, match="no sign"):
        worker.start()


def test_on_the_cpu_alone_means_another_worker_and_back(stage: Stage) -> None:
    script = """
        say(**(READY | {"device": setup["device"]}))
        requests.read()
    """
    worker = stage.worker_that(script)
    worker._setup = replace(SETUP, device="auto")
    assert worker.start().device == "auto"
    first = worker.pid
    assert worker.start().device == "auto" and worker.pid == first
    assert worker.start(on_cpu=True).device == "cpu" and worker.pid != first
    assert worker.start().device == "auto"


def test_torchs_variables_are_set_before_torch_is_there() -> None:
    code = "import sys, ocrd.worker.child; sys.exit('torch' in sys.modules)"
    assert subprocess.run([INTERPRETER, "-c", code], timeout=60, check=False).returncode == 0
    setup = worker_setup(
        parse_config({"engine": {"mps_fallback": False, "mps_high_watermark": 1.5}}, "test")
    )
    assert setup.environment == {
        "PYTORCH_ENABLE_MPS_FALLBACK": "0",
        "PYTORCH_MPS_HIGH_WATERMARK_RATIO": "1.5",
        "PYTORCH_MPS_LOW_WATERMARK_RATIO": "0.9",
    }


REQUEST = Request("j", "/x.png", "text", 0, 10, 10.0, 200, 1, 1)


def test_a_worker_that_says_it_has_finished_before_it_has_is_not_believed(stage: Stage) -> None:
    worker = stage.worker_that("""
        say(**READY)
        requests.readline()
        say(event="opened", job="j", pages=3)
        say(event="page", job="j", reading={})
        say(event="finished", job="j", memory=[1, 1])
        requests.read()
    """)
    with pytest.raises(WorkerDied, match="2 pages did not come"):
        list(worker.read(REQUEST))


def test_a_worker_that_never_ends_its_line_is_ended(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parent, "LONGEST_LINE", 1000)
    worker = stage.worker_that(
        """
        answers.write(b"x" * 5000); answers.flush()
        time.sleep(60)
    """,
        deadline=50.0,
    )
    started = time.monotonic()
    with pytest.raises(WorkerDied, match="signal 9"):
        worker.start()
    assert time.monotonic() - started < 10


def test_two_deaths_while_loading_put_the_gpu_off_for_a_while(stage: Stage) -> None:
    script = """
        say(event="loading", done=1.0)
        if setup["device"] != "cpu":
            os._exit(6)
        say(**READY)
        requests.read()
    """
    worker = stage.worker_that(script)
    worker._setup = replace(SETUP, device="auto", cool_down=0.5)
    for _ in range(2):
        with pytest.raises(WorkerDied, match="loading"):
            worker.start()
    ready = worker.start()
    assert "every device but the CPU" in ready.skipped[-1]
    assert worker.start() is ready  # the next document does not begin anew
    time.sleep(0.5)
    with pytest.raises(WorkerDied, match="exit code 6"):
        worker.start()  # the cool-down is over: it is tried again


def test_of_torchs_two_watermarks_both_are_the_users_or_both_are_ours() -> None:
    ours = {"PYTORCH_ENABLE_MPS_FALLBACK": "1", "PYTORCH_MPS_HIGH_WATERMARK_RATIO": "1.0",
            "PYTORCH_MPS_LOW_WATERMARK_RATIO": "0.9"}  # fmt: skip
    assert missing_variables(ours, {}) == ours
    theirs = {"PYTORCH_MPS_HIGH_WATERMARK_RATIO": "0.7"}
    assert missing_variables(ours, theirs) == {"PYTORCH_ENABLE_MPS_FALLBACK": "1"}
    assert "PYTORCH_ENABLE_MPS_FALLBACK" not in missing_variables(
        ours, {"PYTORCH_ENABLE_MPS_FALLBACK": "0"}
    )


def test_garbage_on_the_pipe_is_passed_over(stage: Stage) -> None:
    worker = stage.worker_that("""
        answers.write(b'not json\\n' + b'[' * 100000 + b'\\n[1, 2]\\n{"no": "event"}\\n\\xff\\xfe\\n'); answers.flush()
        say(**READY)
        requests.read()
    """)
    assert worker.start().mode == "native"
