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


def missing(folders: Iterable[Path]) -> list[Path]:
    """The folders that do not exist, each after its parents that do not exist either."""
    candidates = (path for folder in folders for path in (*reversed(folder.parents), folder))
    # Not Path.exists, which raises for a folder that may not be searched.
    return list(dict.fromkeys(path for path in candidates if not os.path.exists(path)))  # noqa: PTH110


def make_folder(folder: Path) -> None:
    """Create ``folder``, whose parent exists.

    Raises:
        ConfigError: It cannot be created.
    """
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder}: the inbox cannot be created ({error.strerror})") from error
