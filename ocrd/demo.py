"""The demonstration: a daemon of its own, a temporary inbox, three pictures that ship with ocrd.

Everything lives in a temporary folder; the user's configuration, state and inboxes are not touched.
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
from ocrd.errors import EngineError, ServiceError

# Seconds for loading torch and reading three small pictures on a slow machine.
PATIENCE = 180.0
MOST_ERRORS = 0.05


@dataclass(frozen=True)
class Result:
    picture: str
    drawn: str
    read: str

    @property
    def error_rate(self) -> float:
        return edit_distance(self.read, self.drawn) / max(1, len(self.drawn))

    @property
    def good(self) -> bool:
        return self.error_rate <= MOST_ERRORS


def run_demo() -> list[Result]:
    """Drop the pictures, wait for their sidecars, end the daemon.

    Raises EngineError when they do not come.
    """
    pictures = paths.POCKET_MODEL / "demo"
    drawn: dict[str, str] = json.loads((pictures / "drawn.json").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory(prefix="ocrd-demo-") as folder:
        home = Path(folder).resolve()
        inbox = home / "inbox"
        inbox.mkdir()
        config = home / "config.toml"
        settings = {
            "model": {"path": "pocket"},
            "engine": {"device": "cpu"},
            "inbox": [{"path": str(inbox), "settle": 0.5}],
        }
        config.write_text(tomli_w.dumps(settings), encoding="utf-8")
        log = home / "daemon.log"
        with log.open("wb") as output:
            daemon = subprocess.Popen(
                [sys.executable, "-P", "-m", "ocrd", "run", "--config", str(config)],
                env={**os.environ, "OCRD_STATE_DIR": str(home / "state")},
                stderr=output,
            )
        try:
            for name in drawn:
                shutil.copyfile(pictures / name, inbox / name)
            _wait_for([inbox / f"{name}.json" for name in drawn], daemon, log=log)
            read = {
                name: (inbox / f"{name}.txt").read_text(encoding="utf-8").rstrip("\n")
                for name in drawn
            }
        finally:
            daemon.send_signal(signal.SIGTERM)
            code = _end(daemon)
        if code != 0:
            raise ServiceError(f"the daemon ended with exit code {code} instead of 0")
    return [Result(name, text, read[name]) for name, text in drawn.items()]


def _wait_for(sidecars: list[Path], daemon: subprocess.Popen[bytes], *, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not all(path.exists() for path in sidecars):
        if daemon.poll() is not None or time.monotonic() > deadline:
            tail = log.read_text(encoding="utf-8", errors="replace")[-2000:]
            why = (
                "ended early" if daemon.poll() is not None else f"read nothing in {PATIENCE:.0f} s"
            )
            raise EngineError(f"the demonstration's daemon {why}; its log says:\n{tail}")
        time.sleep(0.1)


def _end(daemon: subprocess.Popen[bytes]) -> int:
    try:
        return daemon.wait(timeout=10)
    except subprocess.TimeoutExpired:
        daemon.kill()
        return daemon.wait()


def edit_distance(a: str, b: str) -> int:
    """Levenshtein's distance in characters."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        diagonal = row[0]
        row[0] = i
        for j, y in enumerate(b, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (x != y))
    return row[-1]
