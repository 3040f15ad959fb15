"""Put the fake into a folder, and remove its processes."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from .processes import group_is_alive, kill_group
from .state import locked_state
from .supervisor import TICK_S

KILL_TIMEOUT_S = 10.0


def install(folder: Path) -> Path:
    """Create the program ``launchctl`` in ``folder``, and the fake's state next to it.

    Returns:
        The program's path.
    """
    root = folder.absolute() / "launchd"
    root.mkdir(parents=True, exist_ok=True)
    (root / "lock").touch()
    package = Path(__file__).resolve().parent
    launchctl = folder / "launchctl"
    launchctl.write_text(
        f"#!{sys.executable} -IS\n"
        f"import sys\nsys.path.append({str(package.parent)!r})\n"
        f"from {package.name}.launchctl import main\nmain({str(root)!r})\n"
    )
    launchctl.chmod(0o755)
    return launchctl


def remove(folder: Path) -> None:
    """Kill every service and its supervisor, and wait until they have ended."""
    groups: list[int] = []
    try:
        # A supervisor starts processes only while it holds the lock, so none starts in between.
        with locked_state(folder / "launchd") as state:
            for service in state["services"].values():
                ids = (service["supervisor"], service["pid"])
                groups += [group for group in ids if group is not None]
            for group in groups:
                kill_group(group)
            state["services"].clear()
    except FileNotFoundError:
        return
    deadline = time.monotonic() + KILL_TIMEOUT_S
    while any(map(group_is_alive, groups)):
        if time.monotonic() > deadline:
            raise TimeoutError(f"still running after SIGKILL: {groups}")
        time.sleep(TICK_S / 4)
