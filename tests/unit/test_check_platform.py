"""The set-up stops with one sentence where the pinned versions cannot be installed."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tools.check_platform import (
    LINUX_MACHINES,
    NEWEST_PYTHON,
    OLDEST_GLIBC,
    OLDEST_MACOS,
    OLDEST_PYTHON,
    unsupported_reason,
)

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tools" / "check_platform.py"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MAC: dict[str, Any] = {"system": "Darwin", "machine": "arm64", "macos": "14.0", "python": (3, 13)}
LINUX: dict[str, Any] = {"system": "Linux", "machine": "x86_64", "glibc": "2.36", "python": (3, 11)}


@pytest.mark.parametrize(
    "here",
    [
        MAC,
        MAC | {"macos": "26.1"},
        MAC | {"macos": "10.16"},  # a Python built against an old SDK, on any newer macOS
        LINUX,
        LINUX | {"machine": "aarch64", "glibc": "2.28"},
        LINUX | {"python": (3, 14)},
    ],
)
def test_a_supported_platform_passes(here: dict[str, Any]) -> None:
    assert unsupported_reason(**here) == ""


@pytest.mark.parametrize(
    ("here", "words"),
    [
        (MAC | {"machine": "x86_64"}, "Apple Silicon"),
        (MAC | {"macos": "13.7.2"}, "macOS 14 or newer.*macOS 13.7.2"),
        (LINUX | {"python": (3, 10)}, r"Python 3\.11 to 3\.14.*Python 3\.10.*PYTHON="),
        (LINUX | {"python": (3, 15)}, r"Python 3\.11 to 3\.14.*Python 3\.15"),
        (LINUX | {"pointer_bits": 32}, "64-bit"),
        (LINUX | {"machine": "ppc64le"}, "ppc64le"),
        (LINUX | {"glibc": "2.17"}, r"glibc 2\.28 or newer.*2\.17"),
        (LINUX | {"glibc": ""}, "glibc"),
        ({"system": "Windows", "machine": "AMD64", "python": (3, 13)}, "Windows"),
        ({"system": "FreeBSD", "machine": "amd64", "python": (3, 13)}, "FreeBSD"),
    ],
)
def test_an_unsupported_platform_gets_one_sentence(here: dict[str, Any], words: str) -> None:
    reason = unsupported_reason(**here)
    assert re.search(words, reason)
    assert "\n" not in reason


def test_this_machine_passes() -> None:
    done = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_script_needs_no_newer_python_than_3_6() -> None:
    tree = ast.parse(SCRIPT.read_text(encoding="utf-8"), feature_version=(3, 6))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import)]
    modules = {alias.name for node in imports for alias in node.names}
    assert modules <= {"os", "platform", "sys"}
    # Python 3.6 does not know this import.
    assert not any(isinstance(node, ast.ImportFrom) for node in ast.walk(tree))


def test_the_package_states_the_same_pythons() -> None:
    stated = {
        tuple(map(int, found.groups()))
        for line in PROJECT["classifiers"]
        if (found := re.fullmatch(r"Programming Language :: Python :: (3)\.(\d+)", line))
    }
    assert stated == {(3, minor) for minor in range(OLDEST_PYTHON[1], NEWEST_PYTHON[1] + 1)}
    assert PROJECT["requires-python"] == f">={OLDEST_PYTHON[0]}.{OLDEST_PYTHON[1]}"


def test_the_documentation_states_the_same_limits() -> None:
    text = " ".join((ROOT / "docs" / "install.md").read_text(encoding="utf-8").split())
    assert f"macOS {OLDEST_MACOS} or newer | Apple Silicon" in text
    assert f"glibc {OLDEST_GLIBC[0]}.{OLDEST_GLIBC[1]} or newer" in text
    pythons = [".".join(map(str, version)) for version in (OLDEST_PYTHON, NEWEST_PYTHON)]
    assert f"Python {pythons[0]} to {pythons[1]}" in text


def test_both_names_of_the_arm_processor_are_known() -> None:
    assert {"x86_64", "aarch64", "arm64"} == set(LINUX_MACHINES)
