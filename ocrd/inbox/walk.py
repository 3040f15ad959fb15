"""What lies in an inbox, and where in it a hint points.

Symbolic links are never followed below the root.
"""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

from ocrd.inbox.ignore import ignore_reason, skip_folder


def walk(
    folder: Path,
    suffixes: frozenset[str],
    *,
    recursive: bool,
    failed: Callable[[Path, OSError], None],
) -> Iterator[Path]:
    """Every path that may be ours to read, folder after folder.

    An entry that fails is reported and passed over.
    """
    folders = [folder]
    while folders:
        here = folders.pop()
        try:
            with os.scandir(here) as entries:
                names = list(entries)
        except OSError as error:
            failed(here, error)
            continue
        for entry in names:
            try:
                is_folder = entry.is_dir(follow_symlinks=False)
            except OSError as error:
                failed(here / entry.name, error)
                continue
            if not is_folder and ignore_reason(entry.name, suffixes) is None:
                yield here / entry.name
            elif is_folder and recursive and not skip_folder(entry.name):
                folders.append(here / entry.name)


def place(root: Path, parts: tuple[str, ...]) -> Path | None:
    """The path below ``root`` as it is spelled on disk.

    None when it is not reached through plain, open folders.

    FSEvents may spell a name NFC where the disk has NFD. Both open the same file on APFS, but as
    two keys they would make two jobs of it.
    """
    path = root
    for depth, part in enumerate(parts):
        path /= part if part.isascii() else _spelled(path, part)
        if depth < len(parts) - 1 and (skip_folder(part) or not is_plain_folder(path)):
            return None
    return path


def is_plain_folder(path: Path) -> bool:
    """A folder itself, not a link to one."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except (OSError, ValueError):
        return False


def _spelled(folder: Path, name: str) -> str:
    """``name`` as ``folder`` has it.

    The same bytes if they are there, else another form of the same characters.
    """
    try:
        names = [entry.name for entry in folder.iterdir()]
    except OSError:
        return name
    if name in names:
        return name
    wanted = unicodedata.normalize("NFC", name)
    return next((other for other in names if unicodedata.normalize("NFC", other) == wanted), name)
