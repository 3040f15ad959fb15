"""The demonstration: a daemon on a temporary inbox reads three pictures that ship with ocrd.

Everything is in a temporary folder. The user's configuration, state and inboxes are not touched.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import tomli_w

from ocrd import paths
from ocrd.errors import EngineError, ExitCode, ServiceError

# For importing PyTorch and reading three small pictures on a slow machine.
READ_TIMEOUT_S = 180.0
STOP_TIMEOUT_S = 10.0
POLL_INTERVAL_S = 0.1
MAX_ERROR_RATE = 0.05
# Characters of the daemon's log in an error message.
LOG_TAIL = 2000


@dataclass(frozen=True)
class DemoResult:
    """One picture: the text that was drawn, and the text that was read."""

    picture: str
    drawn: str
    read: str

    @property
    def error_rate(self) -> float:
        """Wrong characters per drawn character."""
        return edit_distance(self.read, self.drawn) / max(1, len(self.drawn))

    @property
    def is_good(self) -> bool:
        """Whether the picture was read well enough."""
        return self.error_rate <= MAX_ERROR_RATE


def run_demo() -> list[DemoResult]:
    """Copy the pictures into the inbox of a daemon and wait for their sidecars.

    Raises:
        EngineError: The daemon does not read the pictures.
        ServiceError: The daemon does not stop properly.
    """
    pictures = paths.POCKET_MODEL / "demo"
    drawn: dict[str, str] = json.loads((pictures / "drawn.json").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory(prefix="ocrd-demo-") as folder:
        home = Path(folder).resolve()
        inbox = home / "inbox"
        inbox.mkdir()
        daemon = _start_daemon(home, inbox)
        try:
            for name in drawn:
                shutil.copyfile(pictures / name, inbox / name)
            _wait_for([inbox / f"{name}.json" for name in drawn], daemon, log=_log_file(home))
            texts = [(inbox / f"{name}.txt").read_text(encoding="utf-8") for name in drawn]
        finally:
            exit_code = _stop(daemon)
        if exit_code != ExitCode.DONE:
            raise ServiceError(f"the demonstration's daemon ended with exit code {exit_code}")
    return [
        DemoResult(name, text, read.rstrip("\n"))
        for (name, text), read in zip(drawn.items(), texts, strict=True)
    ]


def _start_daemon(home: Path, inbox: Path) -> subprocess.Popen[bytes]:
    config = home / "config.toml"
    settings = {
        "model": {"path": "pocket"},
        "engine": {"device": "cpu"},
        "inbox": [{"path": str(inbox), "settle": 0.5}],
    }
    config.write_text(tomli_w.dumps(settings), encoding="utf-8")
    with _log_file(home).open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "ocrd", "run", "--config", str(config)],
            env={**os.environ, "OCRD_STATE_DIR": str(home / "state")},
            stderr=log,
        )


def _log_file(home: Path) -> Path:
    return home / "daemon.log"


def _wait_for(sidecars: list[Path], daemon: subprocess.Popen[bytes], *, log: Path) -> None:
    deadline = time.monotonic() + READ_TIMEOUT_S
    while not all(path.exists() for path in sidecars):
        has_ended = daemon.poll() is not None
        if has_ended or time.monotonic() > deadline:
            tail = log.read_text(encoding="utf-8", errors="replace")[-LOG_TAIL:]
            reason = "ended early" if has_ended else f"read nothing in {READ_TIMEOUT_S:.0f} s"
            raise EngineError(f"the demonstration's daemon {reason}; its log ends with:\n{tail}")
        time.sleep(POLL_INTERVAL_S)


def _stop(daemon: subprocess.Popen[bytes]) -> int:
    daemon.send_signal(signal.SIGTERM)
    try:
        return daemon.wait(timeout=STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        daemon.kill()
        return daemon.wait()


def edit_distance(a: str, b: str) -> int:
    """Return the Levenshtein distance of two texts, in characters."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        diagonal = row[0]
        row[0] = i
        for j, y in enumerate(b, start=1):
            substituted = diagonal + (x != y)
            diagonal = row[j]
            row[j] = min(row[j] + 1, row[j - 1] + 1, substituted)
    return row[-1]
