"""What a service manager is to start.

Which program, with which variables. It sees nothing of a user's shell.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from ocrd.errors import ServiceError

# Variables that change where ocrd finds things. Never HF_TOKEN: the file is not secret, and the
# hub's client keeps the token in a file of its own (``hf auth login``).
CARRIED = (
    "OCRD_STATE_DIR",
    "HF_ENDPOINT",
    "HF_HOME",
    "HF_HUB_CACHE",
    "HF_HUB_OFFLINE",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_STATE_HOME",
    *(
        name
        for proxy in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
        for name in (proxy, proxy.lower())
    ),
)

_FOLDERS = frozenset(
    name for name in CARRIED if name in ("OCRD_STATE_DIR", "HF_HUB_CACHE") or name.endswith("_HOME")
)
# A user's name or password in an address.
_SECRET = re.compile(r"://[^/]*@")


def entry_point(
    argv0: str = sys.argv[0],
    interpreter: str = sys.executable,
    *,
    which: Callable[[str], str | None] = shutil.which,
) -> Path:
    """The ``ocrd`` program by the name that stays.

    ``~/.local/bin/ocrd`` and the like, its links not followed.

    A path into an environment or a Homebrew cellar changes with the next upgrade, the link to it
    does not. Raises ServiceError when there is none.
    """
    called = Path(argv0)
    candidates = [called] if called.name == "ocrd" else []  # else it was ``python -m ocrd``
    candidates.append(Path(interpreter).with_name("ocrd"))
    for candidate in candidates:
        if not os.access(candidate, os.X_OK) or candidate.is_dir():
            continue
        on_path = which("ocrd")
        same = on_path is not None and os.path.realpath(on_path) == os.path.realpath(candidate)
        return Path(os.path.abspath(on_path if same and on_path else candidate))  # noqa: PTH100 - resolves no links
    raise ServiceError(
        f"there is no ocrd program beside {interpreter}; install ocrd with pipx, uv tool or pip"
    )


def carried_variables(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Those of `CARRIED` that are set, folders as whole paths.

    None that holds a password or could break a line.
    """
    given = {name: environment[name] for name in CARRIED if environment.get(name)}
    plain = {
        name: value
        for name, value in given.items()
        if value.isprintable() and not _SECRET.search(value)
    }
    return {name: _whole(value) if name in _FOLDERS else value for name, value in plain.items()}


def _whole(folder: str) -> str:
    return os.path.abspath(os.path.expanduser(folder))  # noqa: PTH100, PTH111 - resolves no links, raises nothing


def guarded_place(path: Path, home: Path) -> str | None:
    """Why macOS may refuse a service this path, though a terminal may use it; None for most."""
    for name in ("Desktop", "Documents", "Downloads", "Library/Mobile Documents"):
        if path.is_relative_to(home / name):
            return f"{path} lies in {name.split('/')[-1]}"
    return f"{path} lies on another volume" if path.is_relative_to("/Volumes") else None
