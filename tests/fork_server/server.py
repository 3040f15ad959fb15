"""The server: import the modules of a role, then fork a process for each request.

Run as ``python -m tests.fork_server.server ROLE LISTENING_FD``. It imports when the first request
comes, and ends when its standard input closes.

A request is one packet: a JSON object with ``module`` or ``script``, ``arguments`` (``sys.argv``),
``environment``, ``folder`` and ``descriptors`` (the numbers that the process knows its descriptors
by), and as many descriptors. The answers are ``{"pid": ...}`` and, when the process has ended,
``{"status": ...}`` as os.waitpid gives it; or ``{"real": true}`` for a process that cannot be
forked. A client that hangs up has its process killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import importlib
import json
import os
import pkgutil
import runpy
import selectors
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MAX_PACKET_BYTES = 200_000
MAX_DESCRIPTORS = 8
# Received descriptors are kept above this number, out of the way of those that they become.
FIRST_KEPT_DESCRIPTOR = 200
# Variables with these prefixes act when Python or a library of the system starts.
START_VARIABLES = ("PYTHON", "LD_", "OMP_", "MKL_", "KMP_")
# These change nothing that a test looks at; folders of modules are compared apart.
HARMLESS_VARIABLES = ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "PYTHONPATH")

# The packages that run in the parent process: none of them imports torch.
PARENT_PACKAGES = (
    "ocrd.cli", "ocrd.control", "ocrd.daemon", "ocrd.doctor", "ocrd.finder", "ocrd.inbox",
    "ocrd.journal", "ocrd.model", "ocrd.outputs", "ocrd.service",
)  # fmt: skip
PARENT_LIBRARIES = ("rich.table", "rich.progress", "watchdog.observers", "sqlite3", "tomli_w")
WORKER_MODULES = (
    "ocrd.worker.child",
    "ocrd.engine.runtime.failover",
    "ocrd.engine.runtime.devices",
    "transformers",
)


def preload(role: str) -> None:
    """Import what processes of this role import themselves."""
    if role == "worker":
        for name in WORKER_MODULES:
            importlib.import_module(name)
    else:
        for name in PARENT_PACKAGES:
            package = importlib.import_module(name)
            for module in pkgutil.walk_packages(package.__path__, f"{name}."):
                importlib.import_module(module.name)
        for name in PARENT_LIBRARIES:
            importlib.import_module(name)
        assert "torch" not in sys.modules
    # huggingface_hub reads its variables when it is imported, and each test has its own.
    for name in [name for name in sys.modules if name.split(".")[0] == "huggingface_hub"]:
        del sys.modules[name]
    gc.collect()
    gc.freeze()


def can_fork(environment: Mapping[str, str], server: Mapping[str, str]) -> bool:
    """Whether a process with this environment starts as the server did with its own."""

    def start_variables(variables: Mapping[str, str]) -> dict[str, str]:
        return {
            name: value
            for name, value in variables.items()
            if name.startswith(START_VARIABLES) and name not in HARMLESS_VARIABLES
        }

    folders = [folder for folder in environment.get("PYTHONPATH", "").split(os.pathsep) if folder]
    known = {str(Path(folder).resolve()) for folder in sys.path}
    return start_variables(environment) == start_variables(server) and all(
        str(Path(folder).resolve()) in known for folder in folders
    )


class Server:
    """One process that forks. Only in a forked process does `serve` return: its request."""

    def __init__(self, role: str, listener: socket.socket) -> None:
        self._role = role
        self._listener = listener
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ, self._accept)
        self._selector.register(0, selectors.EVENT_READ, self._end)
        self._preloaded = False
        self._environment = dict(os.environ)
        # Variables that imports set.
        self._imported_variables: dict[str, str] = {}
        self._clients: set[socket.socket] = set()
        # The pidfd of each client's process.
        self._processes: dict[socket.socket, int] = {}
        self._request: dict[str, Any] | None = None

    def serve(self) -> dict[str, Any]:
        while self._request is None:
            for key, _ in self._selector.select():
                key.data(key.fileobj)
                if self._request is not None:
                    break
        return self._request

    def _end(self, _stdin: object) -> None:
        for pidfd in self._processes.values():
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        os._exit(0)

    def _accept(self, _listener: object) -> None:
        if not self._preloaded:
            preload(self._role)
            self._imported_variables = {
                name: value for name, value in os.environ.items() if name not in self._environment
            }
            self._preloaded = True
        client, _ = self._listener.accept()
        self._clients.add(client)
        self._selector.register(client, selectors.EVENT_READ, self._hear)

    def _hear(self, client: socket.socket) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(client, MAX_PACKET_BYTES, MAX_DESCRIPTORS)
        except ConnectionResetError:  # it was killed before it read its answer
            data = b""
        if not data:
            self._hung_up(client)
            return
        request = json.loads(data)
        if can_fork(request["environment"], self._environment):
            self._fork(client, request, descriptors=descriptors)
        else:
            _answer(client, real=True)
        if self._request is not None:
            become(self._request, descriptors)
            return
        for descriptor in descriptors:
            os.close(descriptor)

    def _hung_up(self, client: socket.socket) -> None:
        self._selector.unregister(client)
        client.close()
        self._clients.discard(client)
        pidfd = self._processes.pop(client, None)
        if pidfd is not None:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            self._selector.unregister(pidfd)
            os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
            os.close(pidfd)

    def _fork(
        self, client: socket.socket, request: dict[str, Any], *, descriptors: list[int]
    ) -> None:
        threads = list(Path("/proc/self/task").iterdir())
        assert len(threads) == 1, "a process with threads cannot be forked safely"
        pid = os.fork()
        if pid == 0:
            self._close()
            request["environment"] = {**self._imported_variables, **request["environment"]}
            self._request = request
            return
        pidfd = os.pidfd_open(pid)
        self._processes[client] = pidfd
        _answer(client, pid=pid)

        def ended(_pidfd: object) -> None:
            if self._processes.get(client) != pidfd:
                return  # its client hung up
            self._selector.unregister(pidfd)
            del self._processes[client]
            os.close(pidfd)
            status = os.waitpid(pid, 0)[1]
            _answer(client, status=status)

        self._selector.register(pidfd, selectors.EVENT_READ, ended)

    def _close(self) -> None:
        """Close everything that belongs to the server alone."""
        for pidfd in self._processes.values():
            os.close(pidfd)
        for client in self._clients:
            client.close()
        self._listener.close()
        self._selector.close()


def _answer(client: socket.socket, **message: object) -> None:
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        client.send(json.dumps(message).encode())


def become(request: Mapping[str, Any], descriptors: list[int]) -> None:
    """Turn this process into the one that was asked for, up to the running of its module."""
    wanted: list[int] = request["descriptors"]
    kept = [fcntl.fcntl(fd, fcntl.F_DUPFD, FIRST_KEPT_DESCRIPTOR) for fd in descriptors]
    for descriptor in descriptors:
        os.close(descriptor)
    for descriptor, number in zip(kept, wanted, strict=True):
        os.dup2(descriptor, number, inheritable=True)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    sys.argv = list(request["arguments"])


def main() -> None:
    role = sys.argv[1]
    listener = socket.socket(fileno=int(sys.argv[2]))
    request = Server(role, listener).serve()
    if role == "parent":
        from tests.fork_server.client import use_forked_workers

        use_forked_workers()
    if "script" in request:
        runpy.run_path(request["script"], run_name="__main__")
        return
    module: str = request["module"]
    # Python runs a module as __main__ without importing it under its own name.
    sys.modules.pop(module, None)
    sys.modules.pop(f"{module}.__main__", None)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
