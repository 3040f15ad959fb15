"""Library versions are compared with ocrd's metadata, and MPS with what the machine offers."""

from __future__ import annotations

import pytest

from ocrd.model.environment import check_libraries, check_mps, environment_checks

REQUIRED = [
    "torch>=2.8",
    "transformers<6,>=5.20",
    'pytest; extra == "dev"',
    "a line that is not a requirement",
]


def states(**versions: str) -> dict[str, str]:
    return {check.name: check.state for check in check_libraries(REQUIRED, versions.get)}


def test_versions_are_compared_with_the_supported_ones() -> None:
    good = {
        "torch": "2.13.0+cpu",
        "transformers": "5.23.0",
        "safetensors": "0.8.0",
        "tokenizers": "0.23",
    }
    assert set(states(**good).values()) == {"ok"}
    assert states(**{**good, "transformers": "4.46.3"})["transformers"] == "warn"
    assert states(**{**good, "torch": "2.7"})["torch"] == "warn"
    assert states(**{**good, "torch": "2.14.0.dev20261101"})["torch"] == "ok"
    del good["torch"]
    assert states(**good)["torch"] == "fail"


@pytest.mark.parametrize(("system", "machine", "macos", "torch_says", "state", "words"), [
    ("linux", "x86_64", "", None, "ok", "not a Mac"),
    ("darwin", "arm64", "15.1", None, "ok", "macOS 15.1"),
    ("darwin", "arm64", "26.0", True, "ok", "macOS 26.0"),
    ("darwin", "arm64", "15.1", False, "warn", "torch says"),
    ("darwin", "arm64", "13.6", True, "warn", "CPU"),
    ("darwin", "x86_64", "15.1", True, "warn", "CPU"),
    ("darwin", "arm64", "", True, "warn", "CPU"),
])  # fmt: skip
def test_mps_needs_apple_silicon_a_new_macos_and_torch(
    system: str, machine: str, macos: str, torch_says: bool | None, state: str, words: str
) -> None:
    check = check_mps(
        system, machine, macos=macos, probe=None if torch_says is None else lambda: torch_says
    )
    assert check.state == state and words in check.found


def test_this_machine_has_what_is_needed() -> None:
    checks = {check.name: check for check in environment_checks(full=False)}
    assert checks["torch"].state == checks["transformers"].state == "ok"
    assert ">=2.8" in checks["torch"].expected
