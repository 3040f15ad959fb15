"""A fake launchd in a folder, and how the tests talk to it."""

from __future__ import annotations

import json
import os
import plistlib
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from tests.fakes.launchd.install import install

DOMAIN = "gui/501"
LABEL = "org.example.job"
TARGET = f"{DOMAIN}/{LABEL}"
SLEEP = "exec sleep 60"
# Ignores SIGTERM; what is ignored stays ignored through exec.
STUBBORN = "trap '' TERM; echo ready; exec sleep 60"

Completed = subprocess.CompletedProcess[str]


class Launchd:
    """Calls the fake's launchctl and reads its files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "launchd"
        self.launchctl = install(folder)
        # The standard output of every job.
        self.out = folder / "out"

    def __call__(self, *argv: object, **variables: str) -> Completed:
        command = [str(self.launchctl), *map(str, argv)]
        environment = dict(os.environ) | variables
        return subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=20, env=environment
        )

    def write_plist(self, shell: str, label: str = LABEL, **keys: object) -> Path:
        """Write a plist that runs ``shell`` at load; a key that is None is left out."""
        plist = {
            "Label": label,
            "ProgramArguments": ["/bin/sh", "-c", shell],
            "RunAtLoad": True,
            **keys,
        }
        given = {key: value for key, value in plist.items() if value is not None}
        path = self.folder / f"{label}.plist"
        path.write_bytes(plistlib.dumps({"StandardOutPath": str(self.out)} | given))
        return path

    def bootstrap(self, shell: str, **keys: Any) -> None:
        assert self("bootstrap", DOMAIN, self.write_plist(shell, **keys)).returncode == 0

    def write_script(self, **script: object) -> None:
        (self.root / "script.json").write_text(json.dumps(script))

    def history(self, event: str) -> list[dict[str, Any]]:
        path = self.root / "history"
        lines = path.read_text().splitlines() if path.exists() else []
        entries = [json.loads(line) for line in lines]
        return [entry for entry in entries if entry["event"] == event]

    def services(self) -> list[dict[str, Any]]:
        return list(json.loads((self.root / "state.json").read_text())["services"].values())

    def pid(self) -> int:
        return int(self.history("started")[-1]["pid"])

    def wait_for(self, event: str, count: int = 1) -> dict[str, Any]:
        wait_until(lambda: len(self.history(event)) >= count)
        return self.history(event)[count - 1]

    def output(self, text: str = "") -> str:
        """Wait until the jobs have written ``text``, and return all that they have written."""

        def is_written() -> bool:
            if not self.out.exists():
                return False
            written = self.out.read_text()
            return text in written and written.endswith("\n")

        wait_until(is_written)
        return self.out.read_text()

    def is_gone(self) -> bool:
        return self("print", TARGET).returncode == 113


def wait_until(condition: Callable[[], bool], timeout_s: float = 10) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not true after {timeout_s} s"
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def failed_with(completed: Completed, code: int, *, message: str) -> bool:
    """Whether a call failed with this exit code and message, and printed nothing else."""
    has_message = message in completed.stderr and not completed.stdout
    return completed.returncode == code and has_message
