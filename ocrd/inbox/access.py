"""Check whether a folder can be used, by using it.

macOS may refuse the daemon a folder that it allows a terminal.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from ocrd import paths
from ocrd.config import Config
from ocrd.files import TEMPORARY_PREFIX

MISSING = "it does not exist"


def folder_error(folder: Path, *, writable: bool = True) -> str | None:
    """Why ``folder`` cannot be used, None when it can.

    Args:
        folder: It is listed, and a temporary file is created in it and removed.
        writable: False where only reading is needed; no file is created then.
    """
    try:
        if not folder.is_dir():
            return "it is not a folder" if folder.exists() else MISSING
        with os.scandir(folder) as entries:
            next(entries, None)
        if writable:
            # The inbox ignores a file of this name.
            probe = folder / f"{TEMPORARY_PREFIX}probe-{secrets.token_hex(4)}.tmp"
            try:
                probe.touch(exist_ok=False)
            finally:
                probe.unlink(missing_ok=True)
    except OSError as error:
        return error.strerror or str(error)
    return None


def folders_in_use(config: Config) -> list[tuple[str, Path]]:
    """Every folder that ocrd writes into, each with a short name such as ``inbox 2``."""
    folders = [("state", paths.state_dir()), ("logs", paths.log_dir())]
    for number, inbox in enumerate(config.inbox, start=1):
        suffix = f" {number}" if len(config.inbox) > 1 else ""
        folders.append((f"inbox{suffix}", inbox.path))
        if inbox.output:
            folders.append((f"output{suffix}", inbox.output))
    return folders
