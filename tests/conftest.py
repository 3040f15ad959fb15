"""No test ever speaks to the real hub or touches the real cache, and torch has one thread.

All of it is set before huggingface_hub and torch are imported.
"""

from __future__ import annotations

import atexit
import os
import signal
import socket
import tempfile
from pathlib import Path

import pytest

from tests.fork_server.client import start_servers

_home = tempfile.TemporaryDirectory(prefix="ocrd-hf-")
atexit.register(_home.cleanup)

with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    HUB_PORT: int = probe.getsockname()[1]

for _name in [name for name in os.environ if name.startswith(("HF_", "HUGGING", "TRANSFORMERS_"))]:
    del os.environ[_name]
os.environ.update(
    HF_ENDPOINT=f"http://127.0.0.1:{HUB_PORT}",
    HF_HOME=_home.name,
    HF_HUB_DOWNLOAD_TIMEOUT="1",
    HF_HUB_ETAG_TIMEOUT="2",
)
# A shell starts background commands with SIGINT ignored, which all processes of the tests would
# inherit.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# Threads of several processes that wait for each other on few cores take many times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every integration test counts as slow, and no slow test measures coverage."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent / "integration"):
            item.add_marker(pytest.mark.slow)
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.no_cover)


def pytest_configure() -> None:
    # Once for each run: the processes of pytest-xdist inherit the variable that leads to them.
    if "PYTEST_XDIST_WORKER" not in os.environ:
        start_servers()
