"""Where ocrd keeps its configuration, its state and its logs, and the files that ship with it."""

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
    """Return ``OCRD_CONFIG``, or ``~/.config/ocrd/config.toml`` when it is not set.

    The default is the same on macOS, where people keep dot-files in ``~/.config`` too.
    """
    if explicit := environment.get("OCRD_CONFIG"):
        return _expand_user(explicit)
    base = environment.get("XDG_CONFIG_HOME") or "~/.config"
    return _expand_user(base) / "ocrd" / "config.toml"


def state_dir(environment: Mapping[str, str] = os.environ) -> Path:
    """Return ``OCRD_STATE_DIR``, or the platform's usual folder when it is not set.

    That is ``~/Library/Application Support/ocrd`` on macOS and XDG's state folder on Linux.
    """
    if explicit := environment.get("OCRD_STATE_DIR"):
        return _expand_user(explicit)
    return Path(platformdirs.user_state_dir("ocrd", appauthor=False))


def log_dir(environment: Mapping[str, str] = os.environ) -> Path:
    """Return ``logs`` in ``OCRD_STATE_DIR``, or the platform's usual folder when it is not set.

    That is ``~/Library/Logs/ocrd`` on macOS and XDG's folder for logs on Linux.
    """
    if explicit := environment.get("OCRD_STATE_DIR"):
        return _expand_user(explicit) / "logs"
    return Path(platformdirs.user_log_dir("ocrd", appauthor=False))


def hash_cache_file() -> Path:
    """Return the file with the hashes of the model's files that were computed before."""
    return state_dir() / "hashes.json"


def shipped(name: str) -> Path:
    """Return a file that ships with ocrd.

    In a source tree it is next to the package, in a wheel it is inside the package.
    """
    inside = PACKAGE / "shipped" / name
    return inside if inside.is_file() else PACKAGE.parent / name


def nearest_existing_folder(folder: Path) -> Path:
    """Return ``folder`` or its nearest parent that exists and that this process may access."""
    for candidate in (folder, *folder.parents):
        with contextlib.suppress(OSError):
            if candidate.exists():
                return candidate
    return Path(folder.anchor)


def make_private_folder(path: Path) -> Path:
    """Create ``path``, accessible to its owner only, unless it exists.

    Returns:
        ``path``.

    Raises:
        ConfigError: The folder cannot be created.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot create this folder ({error.strerror}); check OCRD_STATE_DIR"
        ) from error
    return path


def _expand_user(path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"{path}: there is no such user; give an absolute path") from error
