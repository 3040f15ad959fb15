"""On every supported platform the pinned versions have a wheel. `make platforms` asks the index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tools import platforms
from tools.platforms import Outcome, check, is_cuda, pinned_versions, table_row, unpinned
from tools.resolve import (
    LINUX_ARM64,
    LINUX_X86_64,
    MACOS,
    PLATFORMS,
    PYTHONS,
    File,
    Platform,
    Python,
    ResolutionError,
    choose_wheel,
    files_of_lock,
    wheel_tags,
)

WHEELS = (
    "torch-2.13.0-cp313-cp313-macosx_14_0_arm64.whl",
    "torch-2.13.0-cp313-cp313-macosx_15_0_arm64.whl",
    "torch-2.13.0-cp313-cp313t-macosx_14_0_arm64.whl",
    "torch-2.13.0-cp313-cp313-manylinux_2_28_x86_64.whl",
    "torch-2.13.0-cp313-cp313-manylinux_2_28_aarch64.whl",
    "torch-2.13.0-cp314-cp314-manylinux_2_28_aarch64.whl",
)


def wheel(name: str) -> dict[str, Any]:
    return {"url": f"https://index.test/{name}", "size": 1, "hashes": {"sha256": "0" * 64}}


def lock(*names: str, **package: Any) -> dict[str, Any]:
    wheels = [wheel(name) for name in names]
    return {"packages": [{"name": "torch", "version": "2.13.0", "wheels": wheels} | package]}


def file(distribution: str, *, version: str = "1", size_bytes: int = 0) -> File:
    return File(distribution, version, "https://index.test/file", "0" * 64, size_bytes)


@pytest.mark.parametrize(
    ("platform", "python", "chosen"),
    [
        (MACOS, (3, 13), WHEELS[0]),
        (LINUX_X86_64, (3, 13), WHEELS[3]),
        (LINUX_ARM64, (3, 13), WHEELS[4]),
        (LINUX_ARM64, (3, 14), WHEELS[5]),
    ],
)
def test_the_wheel_of_the_platform_is_chosen(
    platform: Platform, python: Python, chosen: str
) -> None:
    (found,) = files_of_lock(lock(*WHEELS), platform, python=python)
    assert found.url.endswith(chosen)


def test_a_wheel_for_one_python_is_preferred_to_one_for_several() -> None:
    names = [
        "a-1-py3-none-any.whl",
        "a-1-cp311-abi3-manylinux2014_x86_64.whl",
        "a-1-cp313-cp313-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
    ]
    chosen = choose_wheel(map(wheel, names), wheel_tags(LINUX_X86_64, (3, 13)))
    assert chosen is not None
    assert chosen["url"].endswith(names[2])


def test_a_package_without_a_wheel_that_fits_fails() -> None:
    with pytest.raises(ResolutionError, match=r"torch 2\.13\.0 has no wheel that fits"):
        files_of_lock(lock(*WHEELS), MACOS, python=(3, 14))
    musl = "torch-2.13.0-cp313-cp313-musllinux_1_2_x86_64.whl"
    with pytest.raises(ResolutionError, match="no wheel"):
        files_of_lock(lock(musl), LINUX_X86_64, python=(3, 13))


def test_only_fonts_may_come_without_a_wheel() -> None:
    source = wheel("font-roboto-0.0.1.tar.gz")
    (found,) = files_of_lock(lock(name="font-roboto", sdist=source), MACOS, python=(3, 13))
    assert found.url == source["url"]
    with pytest.raises(ResolutionError, match="no wheel"):
        files_of_lock(lock(sdist=source), MACOS, python=(3, 13))


def test_all_twelve_combinations_are_checked() -> None:
    assert [platform.name for platform in PLATFORMS] == [
        "macOS 14, Apple Silicon",
        "Linux x86-64",
        "Linux arm64",
    ]
    assert PYTHONS == ((3, 11), (3, 12), (3, 13), (3, 14))


def test_every_distribution_is_pinned_but_the_cuda_libraries_that_torch_pins() -> None:
    files = (file("torch", version="2.13.0"), file("nvidia-cublas", version="13"), file("new"))
    assert unpinned(files, {"torch": "2.13.0"}) == ["new==1"]
    assert unpinned(files, {"torch": "2.13.1", "new": "1"}) == ["torch==2.13.0"]
    assert is_cuda("triton")
    assert not is_cuda("numpy")


def test_pins_are_read_by_their_normalised_names() -> None:
    pins = pinned_versions()
    assert pins["huggingface-hub"]
    assert pins["pydantic-core"]


def test_a_platform_where_the_pins_do_not_resolve_is_named_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(platform: Platform, python: Python, *, extras: Sequence[str] = ()) -> list[File]:
        raise ResolutionError("torch 2.13.0 has no wheel that fits")

    monkeypatch.setattr(platforms, "resolve", fail)
    outcome = check(MACOS, (3, 14), pins={})
    assert "FAILS: torch 2.13.0 has no wheel that fits" in table_row(outcome)


def test_the_table_gives_the_downloads_in_megabytes() -> None:
    runtime = (
        file("torch", size_bytes=527_000_000),
        file("triton", size_bytes=200_000_000),
        file("numpy", size_bytes=17_000_000),
    )
    development = (*runtime, file("ruff", size_bytes=10_000_000))
    row = table_row(Outcome(LINUX_X86_64, (3, 12), runtime=runtime, development=development))
    assert " ".join(row.split()) == "Linux x86-64 3.12 3 744 MB 754 MB 527 + 200 MB"
