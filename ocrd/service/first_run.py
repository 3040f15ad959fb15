"""A configuration file and the folders that it names, for ``ocrd init`` and ``ocrd install``. Overwrites nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from ocrd import paths
from ocrd.errors import ConfigError
from ocrd.files import write_atomically


def write_config(where: Path, inbox: Path | None = None, pocket: bool = False) -> bool:
    """Write a commented configuration; False when one is there. Raises ConfigError when it cannot be written."""
    try:
        text = _filled_in(
            paths.shipped("config.example.toml").read_text(encoding="utf-8"), inbox, pocket
        ).encode()
        where.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(where, text, replace=lambda _path: False)
    except FileExistsError:
        return False
    except UnicodeEncodeError as error:
        raise ConfigError(
            f"{inbox!a}: TOML holds UTF-8 alone; choose an inbox with such a name"
        ) from error
    except OSError as error:
        raise ConfigError(f"{where}: cannot be written ({error.strerror})") from error
    return True


def missing(folders: Iterable[Path]) -> list[Path]:
    """Those that are not there, each behind the folders above it that are not there either."""
    wanted = (path for folder in folders for path in (*reversed(folder.parents), folder))
    # Not Path.exists, which raises where it may not look.
    return list(dict.fromkeys(path for path in wanted if not os.path.exists(path)))  # noqa: PTH110


def make_folder(folder: Path) -> None:
    """Raises ConfigError when it cannot be made."""
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder}: the inbox cannot be made ({error.strerror})") from error


def _filled_in(example: str, inbox: Path | None, pocket: bool) -> str:
    import tomli_w

    if pocket:
        example = example.replace('# path = "pocket"', 'path = "pocket"')
    if inbox is not None:
        quoted = tomli_w.dumps({"path": str(inbox.expanduser().absolute())}).strip()
        example = example.replace('path = "~/OCR/inbox"', quoted)
    return example
