"""The README's first command, as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys

from ocrd.demo import MAX_ERROR_RATE
from ocrd.errors import ExitCode
from tests.demo_pictures import DRAWN


def test_the_demo_reads_its_three_pictures_and_stops_its_daemon() -> None:
    completed = subprocess.run(
        [sys.executable, "-m", "ocrd", "demo", "--json"],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    results = json.loads(completed.stdout)
    assert len(results) == 3
    assert {result["picture"]: result["drawn"] for result in results} == DRAWN
    assert [result for result in results if result["error_rate"] > MAX_ERROR_RATE] == []
    assert completed.returncode == ExitCode.DONE, completed.stderr
