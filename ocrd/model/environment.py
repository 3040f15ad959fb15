"""Check what the model needs from this machine: library versions, and Apple's GPU (MPS).

The libraries are not imported here.
"""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Callable, Iterable
from importlib import metadata

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet

from ocrd.model.report import Check, CheckState

DISTRIBUTION = "deepseek-ocrd"
LIBRARIES = ("torch", "transformers", "safetensors", "tokenizers")

# torch 2.13 offers MPS from this version on.
OLDEST_MACOS = 14

_PROBE = "import torch; print(torch.backends.mps.is_available())"
_PROBE_TIMEOUT_S = 120


def environment_checks(*, full: bool) -> tuple[Check, ...]:
    """Check this machine; with ``full``, torch is loaded in another process and asked for MPS."""
    mps = check_mps(
        sys.platform,
        platform.machine(),
        macos=platform.mac_ver()[0],
        probe=_probe_mps if full else None,
    )
    return (*check_libraries(_requirements(), _installed_version), mps)


def check_libraries(
    requirements: Iterable[str], installed_version: Callable[[str], str | None]
) -> tuple[Check, ...]:
    """Check that each library is installed in a version that ocrd supports.

    Args:
        requirements: The lines of a package's metadata, such as ``torch>=2.8``.
        installed_version: The version of a library, None when it is not installed.
    """
    ranges: dict[str, SpecifierSet] = {}
    for line in requirements:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        ranges.setdefault(requirement.name.lower(), requirement.specifier)
    return tuple(
        _check_library(name, installed_version(name), supported=ranges.get(name))
        for name in LIBRARIES
    )


def check_mps(
    system: str, machine: str, *, macos: str, probe: Callable[[], bool | None] | None
) -> Check:
    """Check for MPS; at most a warning, as the CPU can read too, only slower.

    Args:
        system: As `sys.platform`.
        machine: As `platform.machine`.
        macos: The version, such as ``15.1``.
        probe: Asks torch for MPS; None to believe the version.
    """
    expected = f"Apple Silicon, macOS {OLDEST_MACOS} or newer"
    if system != "darwin":
        return Check("MPS", "ok", "not a Mac, so there is none", expected)
    found = f"{machine}, macOS {macos}"
    major = int(macos.split(".", maxsplit=1)[0] or 0)
    if machine != "arm64" or major < OLDEST_MACOS:
        return Check("MPS", "warn", f"{found}: reading runs on the CPU", expected)
    if probe is not None and probe() is not True:
        return Check("MPS", "warn", f"{found}, but torch says that it is not available", expected)
    return Check("MPS", "ok", found, expected)


def _check_library(name: str, version: str | None, *, supported: SpecifierSet | None) -> Check:
    expected = str(supported or "any version")
    if version is None:
        return Check(name, "fail", "not installed", expected)
    in_range = supported is None or supported.contains(version, prereleases=True)
    state: CheckState = "ok" if in_range else "warn"
    return Check(name, state, version, expected)


def _requirements() -> list[str]:
    try:
        return metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:  # a source tree that is not installed
        return []


def _installed_version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _probe_mps() -> bool | None:
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE],
            capture_output=True,
            text=True,
            timeout=_PROBE_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip().endswith("True")
