"""The README's first command, as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.integration.conftest import DRAWN


def test_the_demo_reads_its_three_pictures_and_ends_its_daemon_cleanly() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ocrd", "demo", "--json"],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    results = json.loads(done.stdout)
    assert {r["picture"]: r["drawn"] for r in results} == DRAWN and len(results) == 3
    assert [r for r in results if r["error_rate"] > 0.05] == []
    assert done.returncode == 0, done.stderr
