"""The README's first command, as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


@pytest.mark.xfail(reason="the shipped pocket model is still in training; see docs/pocket.md", strict=True)
def test_the_demo_reads_its_three_pictures() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ocrd", "demo", "--json"], capture_output=True, text=True, timeout=110, check=False
    )
    results = json.loads(done.stdout)
    assert len(results) == 3
    assert [r["picture"] for r in results if r["error_rate"] > 0.05] == []
    assert done.returncode == 0


def test_the_demo_ends_its_daemon_and_says_what_was_read_beside_what_was_drawn() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ocrd", "demo", "--json"], capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode in (0, 3), done.stderr
    assert [set(r) for r in json.loads(done.stdout)] == [{"picture", "drawn", "read", "error_rate"}] * 3
