"""Where things live: configuration, state, logs, and the files that ship with ocrd."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

import platformdirs

from ocrd.errors import ConfigError

PACKAGE = Path(__file__).parent
POCKET_MODEL = PACKAGE / "pocket"


def config_file(environment: Mapping[str, str] = os.environ) -> Path:
    """``OCRD_CONFIG``, else ``~/.config/ocrd/config.toml``.

    On a Mac too, where people keep dot-files.
    """
    if given := environment.get("OCRD_CONFIG"):
        return _expanded(given)
    base = environment.get("XDG_CONFIG_HOME") or "~/.config"
    return _expanded(base) / "ocrd" / "config.toml"


def state_dir(environment: Mapping[str, str] = os.environ) -> Path:
    """``OCRD_STATE_DIR``, else ``~/Library/Application Support/ocrd`` (XDG's state folder on
    Linux).
    """
    if given := environment.get("OCRD_STATE_DIR"):
        return _expanded(given)
    return Path(platformdirs.user_state_dir("ocrd", appauthor=False))


def log_dir(environment: Mapping[str, str] = os.environ) -> Path:
    """``~/Library/Logs/ocrd`` (XDG on Linux); inside ``OCRD_STATE_DIR`` when that is set."""
    if given := environment.get("OCRD_STATE_DIR"):
        return _expanded(given) / "logs"
    return Path(platformdirs.user_log_dir("ocrd", appauthor=False))


def hash_memory() -> Path:
    """Where it is kept which of the model's files were hashed, and as what."""
    return state_dir() / "hashes.json"


def shipped(name: str) -> Path:
    """A file that ships with ocrd: beside the package in a source tree, inside it in a wheel."""
    inside = PACKAGE / "shipped" / name
    return inside if inside.is_file() else PACKAGE.parent / name


def nearest(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there and may be looked at."""
    for place in (folder, *folder.parents):
        with contextlib.suppress(OSError):
            if place.exists():
                return place
    return Path(folder.anchor)


def private_folder(path: Path) -> Path:
    """Make ``path`` with access for its owner alone, and give it back.

    Raises ConfigError when that cannot be.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{path}: the folder cannot be made ({error.strerror}); see OCRD_STATE_DIR"
        ) from error
    return path


def _expanded(path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"{path}: there is no such user; give the whole path") from error
