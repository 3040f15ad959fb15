"""What a process printed before it died while decoding is found by the next one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import structlog

from ocrd.documents.library_warnings import LibraryWarningLog
from ocrd.documents.stderr_capture import (
    InterruptedCapture,
    StderrCapture,
    take_interrupted_captures,
)

# Prints while it decodes, and then does what the script says.
CHILD = """
import faulthandler, os, signal, sys, time
from pathlib import Path
from ocrd.documents.library_warnings import LibraryWarningLog

log = LibraryWarningLog(Path(sys.argv[1]))
os.write(2, b"printed before\\n")
with log.attribute_to(Path("/inbox/scan.tif")):
    os.write(2, b"-[MTLBuffer validate]: failed assertion\\n")
    {action}
os.write(2, b"printed afterwards\\n")
"""


def run_child(folder: Path, action: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-c", CHILD.replace("{action}", action), str(folder)]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("number", [signal.SIGABRT, signal.SIGSEGV, signal.SIGKILL])
def test_the_output_of_a_process_that_is_killed_while_decoding_is_kept(
    tmp_path: Path, number: signal.Signals
) -> None:
    done = run_child(tmp_path, f"os.kill(os.getpid(), {int(number)})")
    assert done.returncode == -number and done.stderr == "printed before\n"
    with structlog.testing.capture_logs() as events:
        LibraryWarningLog(tmp_path)
    (event,) = events
    assert event["event"] == "a process died while it decoded a file"
    assert event["file"] == "/inbox/scan.tif" and "failed assertion" in event["stderr"]
    assert take_interrupted_captures(tmp_path) == []  # reported once


def test_the_stack_trace_of_a_crash_is_kept(tmp_path: Path) -> None:
    done = run_child(tmp_path, "faulthandler.enable(); faulthandler._sigsegv()")
    assert done.returncode == -signal.SIGSEGV
    (capture,) = take_interrupted_captures(tmp_path)
    assert "failed assertion" in capture.output and "Fatal Python error" in capture.output
    assert capture.document == "/inbox/scan.tif"


def test_a_process_that_ends_normally_leaves_no_output(tmp_path: Path) -> None:
    done = run_child(tmp_path, "pass")
    assert done.returncode == 0
    assert "printed before" in done.stderr and "printed afterwards" in done.stderr
    assert take_interrupted_captures(tmp_path) == []
    assert list(tmp_path.iterdir()) == []  # its empty file is removed


def test_a_process_that_dies_without_output_is_not_reported(tmp_path: Path) -> None:
    capture = StderrCapture(tmp_path)
    path = next(tmp_path.iterdir())
    path.write_bytes(b'{"document": "/inbox/a.tif"}\n')
    os.close(capture._file)
    assert take_interrupted_captures(tmp_path) == [] and not path.exists()


def test_the_file_of_a_running_process_is_left_alone(tmp_path: Path) -> None:
    capture = StderrCapture(tmp_path)
    with capture.redirect("/inbox/a.tif", lambda _output: None):
        os.write(2, b"still decoding\n")
        assert take_interrupted_captures(tmp_path) == []
    assert len(list(tmp_path.iterdir())) == 1


def test_a_process_of_another_running_parent_is_not_reported_here(tmp_path: Path) -> None:
    path = tmp_path / "worker-1-2.stderr"  # process 1 always runs
    path.write_bytes(b'{"document": "/inbox/a.tif"}\nodd\n')
    assert take_interrupted_captures(tmp_path) == []
    dead = tmp_path / "worker-99999999-1.stderr"
    path.rename(dead)
    assert take_interrupted_captures(tmp_path) == [InterruptedCapture("/inbox/a.tif", "odd\n")]


def test_a_process_without_standard_error_redirects_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    with pytest.raises(OSError, match="no standard error"):
        StderrCapture(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("data", [b"", b"no header\nodd\n", b"[1]\nodd\n", b"\xff\n\xff"])
def test_a_file_without_a_header_is_removed(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / f"worker-{os.getppid()}-1.stderr"
    path.write_bytes(data)
    assert take_interrupted_captures(tmp_path) == [] and not path.exists()
