"""From a property list to a job."""

from __future__ import annotations

import os
import plistlib
import pwd
from pathlib import Path
from typing import Any

from .state import Job

PATH = "/usr/bin:/bin:/usr/sbin:/sbin"


class BadPlist(Exception):
    """launchd would refuse this property list."""


def read_job(root: Path, path: Path) -> Job:
    """Read a job from the property list ``path``.

    Raises:
        BadPlist: The file cannot be read, or has keys that the fake does not know.
    """
    try:
        plist = plistlib.loads(path.read_bytes())
    except Exception as error:  # plistlib raises whatever its parsers raise
        raise BadPlist(f"{path}: {error}") from None
    if not isinstance(plist, dict) or plist.get("Label") != path.stem:
        raise BadPlist(f"{path}: the Label is not the file's name")
    arguments, variables = _read_command(path, plist)
    keep_alive = plist.get("KeepAlive", False)
    conditions = keep_alive if isinstance(keep_alive, dict) else {}
    if set(conditions) - {"SuccessfulExit"}:
        raise BadPlist(f"{path}: the fake knows no condition of KeepAlive but SuccessfulExit")
    return {
        "label": plist["Label"],
        "plist": str(path.absolute()),
        "program": plist.get("Program", arguments[0]),
        "arguments": arguments,
        "environment": _minimal_environment(root, plist["Label"]) | variables,
        "folder": plist.get("WorkingDirectory", "/"),
        "out": plist.get("StandardOutPath"),
        "err": plist.get("StandardErrorPath"),
        "run_at_load": bool(plist.get("RunAtLoad", False)),
        "keep_alive": keep_alive is True,
        "successful_exit": conditions.get("SuccessfulExit"),
        "throttle": float(plist.get("ThrottleInterval", 10)),
        "exit_timeout": float(plist.get("ExitTimeOut", 5)),
    }


def _read_command(path: Path, plist: dict[str, Any]) -> tuple[list[str], dict[str, str]]:
    arguments = plist.get("ProgramArguments", [plist["Program"]] if "Program" in plist else None)
    variables = plist.get("EnvironmentVariables", {})
    if not arguments:
        raise BadPlist(f"{path}: ProgramArguments is missing")
    if not all(isinstance(text, str) for text in [*arguments, *variables, *variables.values()]):
        raise BadPlist(f"{path}: ProgramArguments and EnvironmentVariables must contain strings")
    return arguments, variables


def _minimal_environment(root: Path, label: str) -> dict[str, str]:
    user = pwd.getpwuid(os.getuid())
    environment = {
        "HOME": os.environ.get("HOME", user.pw_dir),
        "USER": os.environ.get("USER", user.pw_name),
        "PATH": PATH,
        "SHELL": os.environ.get("SHELL", "/bin/zsh"),
        "TMPDIR": os.environ.get("TMPDIR", "/tmp"),
        "XPC_SERVICE_NAME": label,
    }
    passed = root / "pass_environment"
    names = passed.read_text().split() if passed.exists() else []
    return environment | {name: os.environ[name] for name in names if name in os.environ}
