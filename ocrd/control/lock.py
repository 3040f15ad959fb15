"""One daemon for each state folder: a lock that the system takes back when its holder dies."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ocrd import paths
from ocrd.errors import ServiceError

FILE = "daemon.lock"
# Seconds in which the lock may be somebody's who only asks (`is_running`).
OTHERS = 0.5


@contextmanager
def single_instance(state: Path) -> Iterator[None]:
    """Hold the state folder's lock. Raises ServiceError when another daemon has it."""
    deadline = time.monotonic() + OTHERS
    with (paths.make_private_folder(state) / FILE).open("a") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise ServiceError(
                        f"another ocrd is running on {state}; stop it first"
                    ) from error
                time.sleep(0.02)
        yield


def is_running(state: Path) -> bool:
    """Whether a daemon holds the lock of this state folder.

    Raises ServiceError when it may not be looked at.
    """
    try:
        with (state / FILE).open() as file:
            # Shared, so that two commands that ask at once do not take each other for a daemon.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except BlockingIOError:
        return True
    except OSError as error:
        raise ServiceError(
            f"{state / FILE}: cannot be opened ({error.strerror}); see that it is yours"
        ) from error
    return False
