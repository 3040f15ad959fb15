"""The state that launchctl and the supervisors share, in a file under a lock."""

from __future__ import annotations

import contextlib
import fcntl
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypedDict


class Job(TypedDict):
    """What was read from a plist. A later change of the plist changes nothing here."""

    label: str
    plist: str
    program: str
    arguments: list[str]
    environment: dict[str, str]
    folder: str
    out: str | None
    err: str | None
    run_at_load: bool
    keep_alive: bool
    successful_exit: bool | None
    throttle: float
    exit_timeout: float


class Service(TypedDict):
    """A registered service."""

    job: Job
    # Process ids; None when there is no such process.
    supervisor: int | None
    pid: int | None
    # How often it was started.
    runs: int
    # None when it never ended; a negative number is a signal.
    last_exit: int | None
    # What launchctl asked the supervisor for: "start", "restart" or "".
    requested: str
    # The supervisor will start it again when its throttle interval is over.
    scheduled: bool
    # It was booted out, and is not gone yet.
    draining: bool
    # How often `print` still finds it after its process has ended.
    polls_left: int


class State(TypedDict):
    """Everything that launchd knows."""

    # By target, such as "gui/501/local.ocrd".
    services: dict[str, Service]
    # By domain and label.
    disabled: dict[str, dict[str, bool]]


@contextlib.contextmanager
def locked_state(root: Path) -> Iterator[State]:
    """Hold the lock and yield the state; changes are saved at the end of the block.

    Raises:
        FileNotFoundError: The folder was removed. It is not created again.
    """
    with (root / "lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        file = root / "state.json"
        before = file.read_text() if file.exists() else '{"services": {}, "disabled": {}}'
        state: State = json.loads(before)
        yield state
        after = json.dumps(state)
        if after != before:
            replace(file, after)


def replace(path: Path, text: str) -> None:
    """Write a file by renaming a new one into its place."""
    draft = path.with_suffix(".draft")
    draft.write_text(text)
    draft.replace(path)


def read_script(root: Path) -> dict[str, Any]:
    """Read what a test asks for."""
    path = root / "script.json"
    return dict(json.loads(path.read_text())) if path.exists() else {}


def append_line(path: Path, entry: object) -> None:
    """Append an entry to a file of JSON lines."""
    with path.open("a") as file:
        file.write(json.dumps(entry) + "\n")
