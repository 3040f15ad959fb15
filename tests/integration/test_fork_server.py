"""In everything that tests check, a forked process is like a real one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

import ocrd.model.hub  # noqa: F401 - sets variables of huggingface_hub, as the server does
from tests.fork_server.client import (
    FORKING,
    SERVERS,
    STUB,
    ForkedProcess,
    Process,
    run_program,
    start_program,
)
from tests.integration.conftest import Service, wait_until

pytestmark = pytest.mark.skipif(not FORKING, reason="no process is forked here")
PROGRAM = "tests.fork_server.program"


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, **more}


def without_servers(**more: str) -> dict[str, str]:
    return {name: value for name, value in environment(**more).items() if name != SERVERS}


def waiting(variables: dict[str, str]) -> Process:
    """Start a process that waits for a minute."""
    process = start_program(PROGRAM, "wait", environment=variables, stderr=subprocess.PIPE)
    assert process.stderr is not None and int(process.stderr.readline()) == process.pid
    return process


def test_a_forked_process_has_the_arguments_environment_folder_and_descriptors_of_a_real_one(
    tmp_path: Path,
) -> None:
    described: list[dict[str, Any]] = []
    for variables in (environment(X="1"), without_servers(X="1", PYTHONPATH=str(Path.cwd()))):
        done = run_program(PROGRAM, "describe", "a b", environment=variables, folder=tmp_path)
        assert done.returncode == 0, done.stderr
        described.append(json.loads(done.stdout))
    forked, real = described
    hidden = (SERVERS, "PYTHONPATH")
    for description in described:
        description["variables"] = [v for v in description["variables"] if v[0] not in hidden]
    assert forked == real


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["exit", "0"], 0),
        (["exit", "7"], 7),
        (["raise"], 1),
        (["SIGKILL"], -signal.SIGKILL),
        (["SIGSEGV"], -signal.SIGSEGV),
        (["SIGTERM"], -signal.SIGTERM),
        (["SIGINT"], -signal.SIGINT),
    ],
)
def test_a_forked_process_ends_like_a_real_one(arguments: list[str], code: int) -> None:
    for variables in (environment(), without_servers()):
        done = run_program(PROGRAM, *arguments, environment=variables)
        assert done.returncode == code
        assert ("ValueError: for a test" in done.stderr) == (arguments == ["raise"])


def test_a_forked_process_has_its_own_pid_for_signals_and_waiting() -> None:
    with waiting(environment()) as process:
        assert isinstance(process, ForkedProcess) and process.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.01)
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(10) == -signal.SIGTERM and process.poll() == -signal.SIGTERM
    assert not psutil.pid_exists(process.pid)


def test_with_another_python_path_the_process_is_a_real_one(tmp_path: Path) -> None:
    with waiting(environment(PYTHONPATH=f"{tmp_path}{os.pathsep}{Path.cwd()}")) as process:
        assert isinstance(process, subprocess.Popen)
        process.kill()
        assert process.wait(10) == -signal.SIGKILL


def stub(*arguments: str, descriptors: tuple[int, ...] = ()) -> subprocess.Popen[str]:
    """Start the process that a daemon starts instead of a worker."""
    argv = [sys.executable, "-P", "-m", PROGRAM, *arguments]
    numbers = ",".join(map(str, descriptors))
    return subprocess.Popen(
        [sys.executable, "-I", "-S", STUB, f"{os.environ[SERVERS]}/parent", numbers, *argv],
        pass_fds=descriptors,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(("arguments", "code"), [(["exit", "7"], 7), (["SIGSEGV"], -11)])
def test_a_stub_ends_like_its_process(arguments: list[str], code: int) -> None:
    with stub(*arguments) as process:
        assert process.wait(10) == code


def test_killing_a_stub_ends_its_process_and_closes_its_pipes() -> None:
    reading, writing = os.pipe()
    with stub("wait", descriptors=(writing,)) as process:
        os.close(writing)
        assert process.stderr is not None
        pid = int(process.stderr.readline())
        assert pid != process.pid and psutil.pid_exists(pid)
        process.kill()
        with os.fdopen(reading, "rb") as pipe:
            assert pipe.read() == b""
        assert process.stderr.read() == ""
    wait_until(lambda: not psutil.pid_exists(pid), "the end of the process")


def test_the_worker_of_a_daemon_is_forked_and_its_child_is_a_stub(service: Service) -> None:
    service.start()
    wait_until(lambda: (service.status()["engine"] or {}).get("state") == "ready", "the engine")
    assert service.process is not None
    (child,) = psutil.Process(service.process.pid).children()
    assert str(STUB) in child.cmdline()
    assert service.status()["engine"]["pid"] == child.pid
    assert service.stop() == 0


@pytest.mark.real_processes
def test_a_test_can_ask_for_real_processes(service: Service) -> None:
    process = start_program("ocrd", "status", environment=service.environment)
    assert isinstance(process, subprocess.Popen) and process.wait(20) == 0
