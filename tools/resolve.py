"""Which files the pinned versions are on a platform, asked of the package index through uv.

`uv pip compile` resolves for platforms and Pythons other than the running ones, and its lock file
names each wheel with its address, size and hash.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.tags import Tag, compatible_tags, cpython_tags, mac_platforms
from packaging.utils import parse_wheel_filename
from uv import find_uv_bin

from tools.check_platform import NEWEST_PYTHON, OLDEST_GLIBC, OLDEST_MACOS, OLDEST_PYTHON

ROOT = Path(__file__).parents[1]
TIMEOUT_S = 600
# Distributions for development without a wheel: they hold only fonts, so pip builds them
# anywhere.
SDIST_ONLY = frozenset({"font-roboto"})

Python = tuple[int, int]


class ResolutionError(Exception):
    """The pinned versions cannot be installed on a platform; the message says why."""


@dataclass(frozen=True)
class Platform:
    """A system that ocrd supports: `uv` is uv's name for it, `tags` its wheel tags, best first."""

    name: str
    uv: str
    tags: tuple[str, ...]


@dataclass(frozen=True)
class File:
    """One file that an installation downloads."""

    distribution: str
    version: str
    url: str
    sha256: str
    size_bytes: int


def _linux_tags(machine: str) -> tuple[str, ...]:
    minors = range(OLDEST_GLIBC[1], 4, -1)
    aliases = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
    tags = []
    for minor in minors:
        tags.append(f"manylinux_{OLDEST_GLIBC[0]}_{minor}_{machine}")
        if minor in aliases:
            tags.append(f"{aliases[minor]}_{machine}")
    return (*tags, f"linux_{machine}")


MACOS = Platform(
    name=f"macOS {OLDEST_MACOS}, Apple Silicon",
    uv="aarch64-apple-darwin",
    tags=tuple(mac_platforms((OLDEST_MACOS, 0), "arm64")),
)
LINUX_X86_64 = Platform("Linux x86-64", "x86_64-unknown-linux-gnu", _linux_tags("x86_64"))
LINUX_ARM64 = Platform("Linux arm64", "aarch64-unknown-linux-gnu", _linux_tags("aarch64"))
PLATFORMS = (MACOS, LINUX_X86_64, LINUX_ARM64)
PYTHONS = tuple((3, minor) for minor in range(OLDEST_PYTHON[1], NEWEST_PYTHON[1] + 1))


def wheel_tags(platform: Platform, python: Python) -> dict[Tag, int]:
    """All wheel tags that CPython accepts on a platform, with their rank; 0 is the best."""
    abi = f"cp{python[0]}{python[1]}"
    tags = [
        *cpython_tags(python, abis=[abi], platforms=platform.tags),
        *compatible_tags(python, interpreter=abi, platforms=platform.tags),
    ]
    return {tag: rank for rank, tag in reversed(list(enumerate(tags)))}


def choose_wheel(wheels: Iterable[dict[str, Any]], ranks: dict[Tag, int]) -> dict[str, Any] | None:
    """The wheel that pip would take, or None where none fits."""
    ranked = []
    for wheel in wheels:
        tags = parse_wheel_filename(wheel["url"].rpartition("/")[2])[3]
        if fitting := [ranks[tag] for tag in tags if tag in ranks]:
            ranked.append((min(fitting), wheel["url"], wheel))
    return min(ranked)[2] if ranked else None


def files_of_lock(lock: dict[str, Any], platform: Platform, *, python: Python) -> list[File]:
    """The file that pip takes for each package of a lock file.

    Args:
        lock: A parsed `pylock.toml`.
        platform: The platform that it was resolved for.
        python: The Python that it was resolved for.

    Raises:
        ResolutionError: A package has no wheel for this platform and Python.
    """
    ranks = wheel_tags(platform, python)
    files = []
    for package in lock["packages"]:
        chosen = choose_wheel(package.get("wheels", ()), ranks)
        if chosen is None and package["name"] in SDIST_ONLY:
            chosen = package["sdist"]
        if chosen is None:
            raise ResolutionError(f"{package['name']} {package['version']} has no wheel that fits")
        file = File(
            distribution=package["name"],
            version=package["version"],
            url=chosen["url"],
            sha256=chosen["hashes"]["sha256"],
            size_bytes=chosen["size"],
        )
        files.append(file)
    return files


def resolve(platform: Platform, python: Python, *, extras: Sequence[str] = ()) -> list[File]:
    """Which files pip downloads to install ocrd with the pinned versions.

    Args:
        platform: The platform to install on.
        python: The Python to install for.
        extras: Optional dependencies to include, such as "dev".

    Returns:
        One file for each distribution, ocrd itself excluded.

    Raises:
        ResolutionError: The pinned versions do not resolve, or one has no wheel that fits.
    """
    with tempfile.TemporaryDirectory(prefix="ocrd-resolve-") as folder:
        path = Path(folder) / "pylock.toml"
        command = [
            *(
                find_uv_bin(),
                "pip",
                "compile",
                "pyproject.toml",
                "--constraints",
                "constraints.txt",
            ),
            *("--python-platform", platform.uv, "--python-version", f"{python[0]}.{python[1]}"),
            # Without this uv asks every Python on this machine for its version.
            *("--python", sys.executable),
            *("--format", "pylock.toml", "--output-file", str(path), "--quiet"),
            *(argument for extra in extras for argument in ("--extra", extra)),
            # Only fonts are built: a missing wheel must fail here, not at the user's.
            *(() if extras else ("--only-binary", ":all:")),
        ]
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, "MACOSX_DEPLOYMENT_TARGET": f"{OLDEST_MACOS}.0"},
            timeout=TIMEOUT_S,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise ResolutionError(done.stderr.strip())
        return files_of_lock(
            tomllib.loads(path.read_text(encoding="utf-8")), platform, python=python
        )
