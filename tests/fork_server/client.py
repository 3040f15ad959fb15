"""How tests start programs: ``python -m MODULE``, forked by a server where that is the same."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parents[2]
STUB = Path(__file__).with_name("stub.py")
# The variable that leads a process to the servers of its test session: a folder of sockets.
SERVERS = "OCRD_TEST_FORK_SERVERS"
ROLES = ("parent", "worker")
# What the server of workers forks; each is started as ``python -P -m MODULE ...``.
WORKER_PROGRAMS = ("ocrd.worker.child", "ocrd.engine.runtime.probe", "tests.fake_worker")
# Whether processes are forked at all.
FORKING = sys.platform == "linux" and os.environ.get("OCRD_TEST_FORKS") != "0"
MAX_ANSWER_BYTES = 1000


def start_servers() -> None:
    """Start the servers of this test session, unless all processes are to be real.

    They import nothing before the first request, and end with this process.
    """
    if not FORKING:
        return
    folder = tempfile.mkdtemp(prefix="ocrd-forks-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for role in ROLES:
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener,
            Path(folder, f"{role}.log").open("wb") as log,
        ):
            listener.bind(f"{folder}/{role}")
            listener.listen(64)
            server = subprocess.Popen(
                [sys.executable, "-m", "tests.fork_server.server", role, str(listener.fileno())],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=log,
                pass_fds=[listener.fileno()],
                cwd=ROOT,
                start_new_session=True,
            )
        atexit.register(_end, server, Path(folder, f"{role}.log"))
    os.environ[SERVERS] = folder


def _end(server: subprocess.Popen[bytes], log: Path) -> None:
    assert server.stdin is not None
    server.stdin.close()
    code = server.wait()
    if code != 0:
        print(f"a fork server ended with {code}:\n{log.read_text()}", file=sys.stderr)


class ForkedProcess:
    """What tests use of `subprocess.Popen`, for a process that the parents' server forks."""

    def __init__(self, server: socket.socket, pid: int, *, stderr: IO[str] | None = None) -> None:
        self._server = server
        self.pid = pid
        self.stderr = stderr
        self.returncode: int | None = None

    def poll(self) -> int | None:
        return self._ended(0.0)

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, as Popen gives it. Raises TimeoutExpired."""
        code = self._ended(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
        return code

    def _ended(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            self._server.settimeout(timeout)
            try:
                answer = self._server.recv(MAX_ANSWER_BYTES)
            except (TimeoutError, BlockingIOError):
                return None
            self._server.close()
            self.returncode = os.waitstatus_to_exitcode(json.loads(answer)["status"])
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> ForkedProcess:
        return self

    def __exit__(self, *_error: object) -> None:
        if self.stderr is not None:
            self.stderr.close()
        self.wait()


Process = subprocess.Popen[str] | ForkedProcess


def start_program(
    program: str | Path,
    *arguments: str,
    environment: Mapping[str, str],
    folder: Path | None = None,
    stdout: IO[bytes] | int | None = None,
    stderr: IO[bytes] | int | None = None,
) -> Process:
    """Start a program in Python, forked if ``environment`` leads to the servers.

    Args:
        program: The name of a module, for ``python -m``, or the path of an executable script.
        arguments: Its arguments.
        environment: All of its variables.
        folder: Its current folder, if not this process's.
        stdout: As for Popen; no pipe.
        stderr: As for Popen; a pipe is text.
    """
    folder = folder or Path.cwd()
    if SERVERS in environment:
        forked = _fork(
            program,
            arguments,
            environment=environment,
            folder=folder,
            stdout=stdout,
            stderr=stderr,
        )
        if forked is not None:
            return forked
    argv = [str(program)] if isinstance(program, Path) else [sys.executable, "-m", program]
    return subprocess.Popen(
        [*argv, *arguments], env=environment, cwd=folder, stdout=stdout, stderr=stderr, text=True
    )


def run_program(
    program: str | Path,
    *arguments: str,
    environment: Mapping[str, str],
    folder: Path | None = None,
    timeout_s: float = 100.0,
) -> subprocess.CompletedProcess[str]:
    """The same to its end, with what it printed. Raises TimeoutExpired."""
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        process = start_program(
            program,
            *arguments,
            environment=environment,
            folder=folder,
            stdout=stdout,
            stderr=stderr,
        )
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        printed = []
        for file in (stdout, stderr):
            file.seek(0)
            printed.append(file.read().decode())
    return subprocess.CompletedProcess([str(program), *arguments], code, *printed)


def _fork(
    program: str | Path,
    arguments: tuple[str, ...],
    *,
    environment: Mapping[str, str],
    folder: Path,
    stdout: IO[bytes] | int | None,
    stderr: IO[bytes] | int | None,
) -> ForkedProcess | None:
    """A forked process, or None where only a real one is the same."""
    request = {
        "script" if isinstance(program, Path) else "module": str(program),
        "arguments": [str(program), *arguments],
        "environment": dict(environment),
        "folder": str(folder),
        "descriptors": [0, 1, 2],
    }
    server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    server.connect(f"{environment[SERVERS]}/parent")
    pipe: IO[str] | None = None
    with contextlib.ExitStack() as stack:
        null = stack.enter_context(Path(os.devnull).open("r+b"))
        descriptors = [null.fileno()]
        for wanted, inherited in ((stdout, 1), (stderr, 2)):
            if wanted is None:
                descriptors.append(inherited)
            elif wanted == subprocess.PIPE:
                reading, writing = os.pipe()
                pipe = os.fdopen(reading, encoding="utf-8")
                stack.callback(os.close, writing)
                descriptors.append(writing)
            else:
                file = null if isinstance(wanted, int) else wanted
                descriptors.append(file.fileno())
        socket.send_fds(server, [json.dumps(request).encode()], descriptors)
    answer = json.loads(server.recv(MAX_ANSWER_BYTES))
    if "real" in answer:
        server.close()
        if pipe is not None:
            pipe.close()
        return None
    return ForkedProcess(server, answer["pid"], stderr=pipe)


class _PopenWithStubs(subprocess.Popen[Any]):
    """Popen in a daemon or command: a program that has a server is started as a stub."""

    def __init__(self, args: Any, **options: Any) -> None:
        argv = [args] if isinstance(args, str | os.PathLike) else list(args)
        if argv[:3] == [sys.executable, "-P", "-m"] and argv[3] in WORKER_PROGRAMS:
            servers = options.get("env", os.environ).get(SERVERS)
            descriptors = ",".join(map(str, options.get("pass_fds", ())))
            if servers is not None:
                args = [sys.executable, "-I", "-S", STUB, f"{servers}/worker", descriptors, *argv]
        super().__init__(args, **options)


def use_forked_workers() -> None:
    """From now on the workers of this process are forked, if its environment leads to servers."""
    if SERVERS in os.environ:
        subprocess.Popen = _PopenWithStubs  # type: ignore[misc,assignment]
