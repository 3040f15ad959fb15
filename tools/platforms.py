"""Check that the pinned versions resolve on every supported platform, and print what they download.

    python -m tools.platforms

For each platform and Python, uv resolves the runtime dependencies and, separately, those with the
development tools that `make setup` installs. The sizes are those that the package index states.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from packaging.utils import canonicalize_name

from tools.resolve import PLATFORMS, PYTHONS, ROOT, File, Platform, Python, ResolutionError, resolve

# On Linux, torch requires these in versions that it pins itself, only with its CUDA build.
CUDA_PREFIXES = ("nvidia-", "cuda-", "triton")
ROW = "{:24} {:7} {:>9} {:>12} {:>12} {:>16}"


@dataclass(frozen=True)
class Outcome:
    """What one platform with one Python downloads, or why the pins do not resolve there."""

    platform: Platform
    python: Python
    runtime: tuple[File, ...] = ()
    development: tuple[File, ...] = ()
    problem: str = ""


def is_cuda(distribution: str) -> bool:
    return distribution.startswith(CUDA_PREFIXES)


def pinned_versions(path: Path = ROOT / "constraints.txt") -> dict[str, str]:
    """The versions of constraints.txt by normalised name."""
    pins = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, _, version = line.partition("==")
            pins[canonicalize_name(name)] = version
    return {str(name): version for name, version in pins.items()}


def unpinned(files: tuple[File, ...], pins: dict[str, str]) -> list[str]:
    """Distributions that constraints.txt has to pin and does not."""
    return sorted(
        f"{file.distribution}=={file.version}"
        for file in files
        if pins.get(file.distribution) != file.version and not is_cuda(file.distribution)
    )


def megabytes(files: tuple[File, ...]) -> int:
    return round(sum(file.size_bytes for file in files) / 1e6)


def check(platform: Platform, python: Python, *, pins: dict[str, str]) -> Outcome:
    """Resolve for one platform and one Python."""
    try:
        runtime = tuple(resolve(platform, python))
        development = tuple(resolve(platform, python, extras=["dev"]))
    except ResolutionError as error:
        return Outcome(platform, python, problem=str(error))
    missing = unpinned(development, pins)
    problem = f"constraints.txt does not pin {', '.join(missing)}" if missing else ""
    return Outcome(platform, python, runtime, development, problem)


def table_row(outcome: Outcome) -> str:
    version = f"{outcome.python[0]}.{outcome.python[1]}"
    if outcome.problem:
        return f"{outcome.platform.name:24} {version:7} FAILS: {outcome.problem}"
    cuda = tuple(file for file in outcome.runtime if is_cuda(file.distribution))
    torch = tuple(file for file in outcome.runtime if file.distribution == "torch")
    return ROW.format(
        outcome.platform.name,
        version,
        len(outcome.runtime),
        f"{megabytes(outcome.runtime)} MB",
        f"{megabytes(outcome.development)} MB",
        f"{megabytes(torch)} + {megabytes(cuda)} MB",
    )


def main() -> int:
    """Print the table; returns 1 where a platform fails."""
    pins = pinned_versions()
    failed = False
    print(ROW.format("platform", "Python", "packages", "download", "with tools", "torch + CUDA"))
    for platform, python in product(PLATFORMS, PYTHONS):
        outcome = check(platform, python, pins=pins)
        failed = failed or bool(outcome.problem)
        print(table_row(outcome), flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
