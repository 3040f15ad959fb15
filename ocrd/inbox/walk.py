"""List the files of an inbox, and find the path that an event means.

Symbolic links below the inbox are never followed.
"""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

from ocrd.inbox.ignore import ignore_reason, is_ignored_folder


def walk(
    folder: Path,
    suffixes: frozenset[str],
    *,
    recursive: bool,
    on_error: Callable[[Path, OSError], None],
) -> Iterator[Path]:
    """Yield every path whose name is read, folder after folder.

    Args:
        folder: Where to start.
        suffixes: The suffixes to read, as for `ignore_reason`.
        recursive: Whether to enter folders.
        on_error: Called with an entry that cannot be read; the walk continues with the next one.
    """
    folders = [folder]
    while folders:
        current = folders.pop()
        try:
            with os.scandir(current) as scan:
                entries = list(scan)
        except OSError as error:
            on_error(current, error)
            continue
        for entry in entries:
            path = current / entry.name
            try:
                is_folder = entry.is_dir(follow_symlinks=False)
            except OSError as error:
                on_error(path, error)
                continue
            if is_folder:
                if recursive and not is_ignored_folder(entry.name):
                    folders.append(path)
            elif ignore_reason(entry.name, suffixes) is None:
                yield path


def path_on_disk(root: Path, parts: tuple[str, ...]) -> Path | None:
    """The path below ``root``, spelled as on the disk.

    FSEvents may spell a name in NFC where the disk has NFD. Both open the same file on APFS, but
    they would become two jobs.

    Returns:
        None when the path leads through a link or an ignored folder.
    """
    path = root
    for depth, part in enumerate(parts):
        path /= part if part.isascii() else _name_on_disk(path, part)
        is_last = depth == len(parts) - 1
        if not is_last and (is_ignored_folder(part) or not is_plain_folder(path)):
            return None
    return path


def is_plain_folder(path: Path) -> bool:
    """Whether it is a folder, and not a link to one."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except (OSError, ValueError):
        return False


def _name_on_disk(folder: Path, name: str) -> str:
    """The same bytes if ``folder`` has them, otherwise another form of the same characters."""
    try:
        names = [entry.name for entry in folder.iterdir()]
    except OSError:
        return name
    if name in names:
        return name
    normalised = unicodedata.normalize("NFC", name)
    same = (other for other in names if unicodedata.normalize("NFC", other) == normalised)
    return next(same, name)
