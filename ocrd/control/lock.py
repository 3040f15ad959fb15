"""One daemon per state folder: a file lock, which the system releases when its holder dies."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ocrd import paths
from ocrd.errors import ServiceError
from ocrd.files import is_locked
from ocrd.journal import LOCK_FILE_NAME

# Seconds in which another process may hold the lock only to check it (`is_running`).
CHECK_TIMEOUT_S = 0.5
POLL_INTERVAL_S = 0.02


@contextmanager
def single_instance(state: Path) -> Iterator[None]:
    """Hold the lock of the state folder.

    Raises:
        ServiceError: Another daemon holds it.
    """
    deadline = time.monotonic() + CHECK_TIMEOUT_S
    with (paths.make_private_folder(state) / LOCK_FILE_NAME).open("a") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise ServiceError(
                        f"another ocrd is running on {state}; stop it first"
                    ) from error
                time.sleep(POLL_INTERVAL_S)
        yield


def is_running(state: Path) -> bool:
    """Whether a daemon holds the lock of this state folder.

    Raises:
        ServiceError: The lock cannot be checked.
    """
    try:
        return is_locked(state / LOCK_FILE_NAME)
    except OSError as error:
        raise ServiceError(
            f"{state / LOCK_FILE_NAME}: cannot be opened ({error.strerror}); check that it is yours"
        ) from error
