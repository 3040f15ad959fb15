"""Process groups."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path


def kill_group(group: int) -> None:
    """Kill every process of a group, if there is one left."""
    # macOS answers PermissionError for a group of zombies.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def group_is_alive(group: int) -> bool:
    """Return whether a process of the group is left that is not a zombie."""
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    if not Path("/proc/self/stat").exists():
        return True
    # In a container the first process may not reap, so zombies do not count.
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _parent, its_group = stat.read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group and state not in "ZX":
                return True
    return False
