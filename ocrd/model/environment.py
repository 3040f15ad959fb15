"""What the model needs around it.

The libraries' versions, and whether Apple's GPU can be had. Imports none of it.
"""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Callable, Iterable
from importlib import metadata

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet

from ocrd.model.verify import Check, State

DISTRIBUTION = "deepseek-ocrd"
LIBRARIES = ("torch", "transformers", "safetensors", "tokenizers")
# What torch 2.13 asks of macOS before it offers MPS.
OLDEST_MACOS = 14
_PROBE = "import torch; print(torch.backends.mps.is_available())"


def surroundings(*, full: bool) -> tuple[Check, ...]:
    """Checks of this machine.

    In full torch itself is asked for MPS, which takes it seconds to load.
    """
    mps = mps_check(
        sys.platform,
        platform.machine(),
        macos=platform.mac_ver()[0],
        ask=_ask_torch if full else None,
    )
    return (*library_checks(_required(), _installed), mps)


def library_checks(
    required: Iterable[str], installed: Callable[[str], str | None]
) -> tuple[Check, ...]:
    """Whether each library is there in a version that ocrd was made for.

    ``required`` as in a package's metadata.
    """
    ranges: dict[str, SpecifierSet] = {}
    for line in required:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        ranges.setdefault(requirement.name.lower(), requirement.specifier)
    checks = []
    for name in LIBRARIES:
        found = installed(name)
        wanted = ranges.get(name)
        state: State = "fail" if found is None else "ok"
        if found and wanted is not None and not wanted.contains(found, prereleases=True):
            state = "warn"
        checks.append(Check(name, state, found or "not installed", str(wanted or "any version")))
    return tuple(checks)


def mps_check(
    system: str, machine: str, *, macos: str, ask: Callable[[], bool | None] | None
) -> Check:
    """Whether MPS can be had; a warning at most, as the CPU reads as well, only slower."""
    expected = f"Apple Silicon, macOS {OLDEST_MACOS} or newer"
    if system != "darwin":
        return Check("MPS", "ok", "not a Mac, so there is none", expected)
    here = f"{machine}, macOS {macos}"
    if machine != "arm64" or int(macos.split(".", maxsplit=1)[0] or 0) < OLDEST_MACOS:
        return Check("MPS", "warn", f"{here}: reading runs on the CPU", expected)
    if ask is not None and ask() is not True:
        return Check("MPS", "warn", f"{here}, but torch says that it is not available", expected)
    return Check("MPS", "ok", here, expected)


def _required() -> list[str]:
    try:
        return metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:  # run from a source tree that is not installed
        return []


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _ask_torch() -> bool | None:
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE], capture_output=True, text=True, timeout=120, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip().endswith("True")
