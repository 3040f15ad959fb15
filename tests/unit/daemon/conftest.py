"""What the tests of the daemon share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon_bench import DaemonBench
from tests.job_bench import JobBench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[JobBench]:
    bench = JobBench(tmp_path)
    yield bench
    bench.journal.close()


@pytest.fixture
def daemon_bench(tmp_path: Path) -> Iterator[DaemonBench]:
    bench = DaemonBench(tmp_path)
    yield bench
    bench.journal.close()
