"""Whether a folder can be used.

Asked by doing it. On a Mac the daemon may be refused where a terminal is not.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from ocrd import paths
from ocrd.config import Config
from ocrd.files import TEMPORARY_PREFIX

NOT_THERE = "it is not there"


def refusal(folder: Path, *, writable: bool = True) -> str | None:
    """Why ``folder`` cannot be listed and, with ``writable``, written into; None when it can."""
    try:
        if not folder.is_dir():
            return NOT_THERE if not folder.exists() else "it is not a folder"
        with os.scandir(folder) as entries:
            next(entries, None)
        if writable:
            # By a name that the inbox passes over, and gone at once.
            probe = folder / f"{TEMPORARY_PREFIX}probe-{secrets.token_hex(4)}.tmp"
            try:
                probe.touch(exist_ok=False)
            finally:
                probe.unlink(missing_ok=True)
    except OSError as error:
        return error.strerror or str(error)
    return None


def folders(config: Config) -> list[tuple[str, Path]]:
    """Every folder that ocrd writes into, by a name for it."""
    found = [("state", paths.state_dir()), ("logs", paths.log_dir())]
    for number, inbox in enumerate(config.inbox, start=1):
        suffix = f" {number}" if len(config.inbox) > 1 else ""
        found.append((f"inbox{suffix}", inbox.path))
        if inbox.output:
            found.append((f"output{suffix}", inbox.output))
    return found
