"""Standard error under a service manager is a file, which must not grow without limit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ocrd import log

PRINT_AND_TRUNCATE = """
import sys
from ocrd.log import truncate_stderr

sys.stderr.write("x" * 5000)
sys.stderr.flush()
truncate_stderr(int(sys.argv[1]))
sys.stderr.write("end")
sys.stderr.flush()
"""


def stderr_after(tmp_path: Path, max_bytes: int, **environment: str) -> str:
    path = tmp_path / "launchd.log"
    argv = [sys.executable, "-c", PRINT_AND_TRUNCATE, str(max_bytes)]
    variables = {"PYTHONPATH": str(Path.cwd()), **environment}
    with path.open("w") as file:  # not for appending, as launchd may open it
        subprocess.run(argv, env=variables, stderr=file, check=True)
    return path.read_text()


def test_a_large_stderr_file_is_emptied_under_a_service_manager_only(tmp_path: Path) -> None:
    assert stderr_after(tmp_path, 1000, OCRD_SERVICE="launchd") == "end"
    assert stderr_after(tmp_path, 10_000, OCRD_SERVICE="launchd") == "x" * 5000 + "end"
    assert stderr_after(tmp_path, 1000) == "x" * 5000 + "end"
    assert log.MAX_STDERR_BYTES == 1024 * 1024
