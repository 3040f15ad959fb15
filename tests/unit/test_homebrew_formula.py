"""The Homebrew formula installs exactly the pinned versions. It is untested on a Mac."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

from tools.homebrew_formula import (
    FORMULA,
    PUBLIC_FILES,
    PYTHON,
    foreign_addresses,
    local_source,
    released_source,
    render,
)
from tools.platforms import pinned_versions
from tools.resolve import MACOS, ROOT, File, wheel_tags

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
RESOURCE = re.compile(r'  resource "(.+)" do\n    url "(.+)", using: :nounzip\n    sha256 "(.+)"\n')
REGENERATE = "run: make homebrew"
ON_A_MAC = {
    "implementation_name": "cpython",
    "os_name": "posix",
    "platform_machine": "arm64",
    "platform_python_implementation": "CPython",
    "platform_system": "Darwin",
    "python_full_version": f"{PYTHON[0]}.{PYTHON[1]}.0",
    "python_version": f"{PYTHON[0]}.{PYTHON[1]}",
    "sys_platform": "darwin",
    "extra": "",
}
# Not installed where these tests run on Linux, so what they require is stated here.
REQUIRED_ON_A_MAC: dict[str, list[str]] = {
    "xattr": ["cffi"],
    "cffi": ["pycparser"],
    "pycparser": [],
}


def committed_files() -> list[File]:
    return [
        File(name, str(parse_wheel_filename(url.rpartition("/")[2])[1]), url, sha256, 0)
        for name, url, sha256 in RESOURCE.findall(FORMULA.read_text(encoding="utf-8"))
    ]


def requirements(distribution: str) -> list[str]:
    try:
        return metadata.requires(distribution) or []
    except metadata.PackageNotFoundError:
        return REQUIRED_ON_A_MAC[distribution]


def needed_on_a_mac() -> set[str]:
    """All distributions that ocrd needs there, by the metadata of what is installed here."""
    needed: set[str] = set()
    waiting = list(PROJECT["dependencies"])
    while waiting:
        requirement = Requirement(waiting.pop())
        name = canonicalize_name(requirement.name)
        applies = requirement.marker is None or requirement.marker.evaluate(ON_A_MAC)
        if applies and name not in needed:
            needed.add(name)
            waiting.extend(requirements(name))
    return needed


def test_the_committed_formula_is_what_the_generator_writes() -> None:
    source = local_source(PROJECT["version"])
    rendered = render(committed_files(), source, license_name=PROJECT["license"])
    assert FORMULA.read_text(encoding="utf-8") == rendered, REGENERATE


def test_every_resource_has_the_pinned_version() -> None:
    pins = pinned_versions()
    for file in committed_files():
        assert file.version == pins[file.distribution], REGENERATE


def test_the_resources_are_all_that_ocrd_needs_on_a_mac() -> None:
    assert {file.distribution for file in committed_files()} == needed_on_a_mac(), REGENERATE


def test_every_resource_is_a_wheel_for_the_oldest_macos_from_the_public_index() -> None:
    ranks = wheel_tags(MACOS, PYTHON)
    for file in committed_files():
        name, _, _, tags = parse_wheel_filename(file.url.rpartition("/")[2])
        assert name == file.distribution
        assert any(tag in ranks for tag in tags), file.url
        assert file.url.startswith(PUBLIC_FILES)
        assert re.fullmatch("[0-9a-f]{64}", file.sha256)


def test_the_formula_says_that_it_is_untested() -> None:
    assert FORMULA.read_text(encoding="utf-8").startswith("# UNTESTED")


@pytest.mark.skipif(shutil.which("ruby") is None, reason="no Ruby on this machine")
def test_the_formula_is_ruby() -> None:
    done = subprocess.run(["ruby", "-c", FORMULA], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_release_has_its_address_and_hash(tmp_path: Path) -> None:
    wheel = tmp_path / "ocrd.whl"
    wheel.write_bytes(b"wheel")
    source = released_source("https://example.org/ocrd.whl", wheel, version="1.2.3")
    rendered = render([], source, license_name="MIT")
    assert 'url "https://example.org/ocrd.whl", using: :nounzip\n  version "1.2.3"' in rendered
    assert f'sha256 "{hashlib.sha256(b"wheel").hexdigest()}"' in rendered
    assert "HOMEBREW_OCRD_WHEEL" not in rendered


def test_the_addresses_of_a_mirror_are_not_written() -> None:
    ours = File("a", "1", f"{PUBLIC_FILES}aa/a.whl", "0" * 64, 1)
    mirrored = File("b", "1", "https://mirror.test/b.whl", "0" * 64, 1)
    assert foreign_addresses([ours, mirrored]) == [mirrored.url]
