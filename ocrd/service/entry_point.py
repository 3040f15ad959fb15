"""The program that a service manager starts, and the environment variables that it gets.

A service manager does not read the user's shell profile, so neither PATH nor any variable is set.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from ocrd.errors import ServiceError

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
# Variables that change where ocrd finds things. Not HF_TOKEN: the service's file is not secret, and
# the hub's client stores the token in its own file (``hf auth login``).
SERVICE_VARIABLES = (
    "OCRD_STATE_DIR",
    "HF_ENDPOINT",
    "HF_HOME",
    "HF_HUB_CACHE",
    "HF_HUB_OFFLINE",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_STATE_HOME",
    *(name for proxy in _PROXIES for name in (proxy, proxy.lower())),
)
_FOLDER_VARIABLES = frozenset(
    name
    for name in SERVICE_VARIABLES
    if name in ("OCRD_STATE_DIR", "HF_HUB_CACHE") or name.endswith("_HOME")
)
# Folders in the home folder that macOS protects (TCC), and their names for the user.
_PROTECTED_FOLDERS = {
    "Desktop": "Desktop",
    "Documents": "Documents",
    "Downloads": "Downloads",
    "Library/Mobile Documents": "iCloud Drive",
}
# A user name or a password in a URL.
_CREDENTIALS = re.compile(r"://[^/]*@")


def find_entry_point(
    argv0: str | None = None,
    interpreter: str = sys.executable,
    *,
    which: Callable[[str], str | None] = shutil.which,
) -> Path:
    """Return the path of the ``ocrd`` program that stays the same after upgrades.

    That is a link such as ``~/.local/bin/ocrd``, not its target: a path into a virtual environment
    or a Homebrew cellar changes with the next upgrade, the link to it does not.

    Args:
        argv0: How this process was called, if not as ``sys.argv[0]`` says.
        interpreter: The Python interpreter; an ``ocrd`` program next to it is the second choice.
        which: Finds a program on PATH.

    Raises:
        ServiceError: There is no such program.
    """
    called = Path(argv0 or sys.argv[0])
    candidates = [called] if called.name == "ocrd" else []  # otherwise ``python -m ocrd``
    candidates.append(Path(interpreter).with_name("ocrd"))
    for candidate in candidates:
        if not os.access(candidate, os.X_OK) or candidate.is_dir():
            continue
        on_path = which("ocrd")
        is_same = on_path and os.path.realpath(on_path) == os.path.realpath(candidate)
        stable = on_path if on_path and is_same else candidate
        return Path(os.path.abspath(stable))  # noqa: PTH100 - does not resolve links
    raise ServiceError(
        f"no ocrd program next to {interpreter}; install ocrd with pipx, uv tool or pip"
    )


def service_variables(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables of `SERVICE_VARIABLES` that are set, with folders as absolute paths.

    Values with credentials or control characters are left out, because the service's file is
    readable by others and consists of lines.
    """
    variables = {}
    for name in SERVICE_VARIABLES:
        value = environment.get(name, "")
        if value and value.isprintable() and not _CREDENTIALS.search(value):
            variables[name] = _absolute(value) if name in _FOLDER_VARIABLES else value
    return variables


def tcc_protected(path: Path, home: Path) -> str | None:
    """Return why macOS may deny a service the access to ``path``.

    macOS (TCC) asks the user separately for each program, so a terminal may have access to a folder
    that a service has not.

    Returns:
        A sentence such as ``/Users/me/Desktop/in is in Desktop``; None for a path that macOS does
        not protect.
    """
    for folder, name in _PROTECTED_FOLDERS.items():
        if path.is_relative_to(home / folder):
            return f"{path} is in {name}"
    return f"{path} is on another volume" if path.is_relative_to("/Volumes") else None


def _absolute(folder: str) -> str:
    return os.path.abspath(os.path.expanduser(folder))  # noqa: PTH100, PTH111 - resolves no links, raises nothing
