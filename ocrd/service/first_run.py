"""A configuration file and the folders that it names, for ``ocrd init`` and ``ocrd install``.

Nothing is overwritten.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from ocrd.config.starter import starter_text
from ocrd.errors import ConfigError
from ocrd.files import write_atomically


def write_config(where: Path, inbox: Path | None = None, *, pocket: bool = False) -> bool:
    """Write a short configuration file, unless there is a file already.

    Args:
        where: The file. Missing folders above it are made.
        inbox: The folder to watch instead of ``~/OCR/inbox``.
        pocket: Use the small demonstration model.

    Returns:
        Whether it was written; False when there is a file already.

    Raises:
        ConfigError: It cannot be written.
    """
    folder = None if inbox is None else str(inbox.expanduser().absolute())
    try:
        text = starter_text(folder, pocket=pocket).encode()
        where.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(where, text, may_replace=lambda _path: False)
    except FileExistsError:
        return False
    except UnicodeEncodeError as error:
        raise ConfigError(
            f"{inbox!a}: a TOML file can only contain UTF-8; choose an inbox with such a name"
        ) from error
    except OSError as error:
        raise ConfigError(f"{where}: cannot be written ({error.strerror})") from error
    return True


def missing_folders(folders: Iterable[Path]) -> list[Path]:
    """Return the folders that do not exist, and their parents that do not exist.

    Parents come first, so the folders can be created in this order.
    """
    needed = (path for folder in folders for path in (*reversed(folder.parents), folder))
    # Not Path.exists, which raises an error for a folder without permission to enter it.
    return list(dict.fromkeys(path for path in needed if not os.path.exists(path)))  # noqa: PTH110


def create_folder(folder: Path) -> None:
    """Create an inbox folder unless it exists.

    Raises:
        ConfigError: The folder cannot be created.
    """
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder}: the inbox cannot be created ({error.strerror})") from error
