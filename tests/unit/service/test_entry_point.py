"""The program that a service starts, its variables, and the folders that macOS protects."""

from __future__ import annotations

from pathlib import Path

import pytest

from ocrd.errors import ServiceError
from ocrd.service.entry_point import find_entry_point, service_variables, tcc_protected


@pytest.fixture
def cellar(tmp_path: Path) -> Path:
    """A program whose path changes with each version."""
    program = tmp_path / "cellar/1.0/bin/ocrd"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return program


def test_the_program_is_the_link_that_survives_an_upgrade(cellar: Path, tmp_path: Path) -> None:
    link = tmp_path / "bin/ocrd"
    link.parent.mkdir()
    link.symlink_to(cellar)
    assert find_entry_point(str(cellar), "/nowhere/python", which=lambda _: str(link)) == link
    assert find_entry_point(str(link), "/nowhere/python", which=lambda _: None) == link


def test_another_ocrd_on_the_path_is_not_used(cellar: Path) -> None:
    found = find_entry_point(str(cellar), "/nowhere/python", which=lambda _: "/usr/bin/true")
    assert found == cellar


def test_for_a_module_the_program_next_to_the_interpreter_is_used(
    cellar: Path, tmp_path: Path
) -> None:
    module = str(tmp_path / "ocrd/__main__.py")
    interpreter = str(cellar.with_name("python"))
    assert find_entry_point(module, interpreter, which=lambda _: None) == cellar
    with pytest.raises(ServiceError, match="no ocrd program"):
        find_entry_point(module, "/nowhere/python", which=lambda _: None)


def test_variables_that_change_places_are_kept_and_secrets_are_not() -> None:
    environment = {
        "OCRD_STATE_DIR": "/s",
        "HF_TOKEN": "hf_secret",
        "HTTPS_PROXY": "http://proxy:3128",
        "HF_HOME": "",
        "http_proxy": "http://me:word@proxy",
        "HF_ENDPOINT": "https://me:secret@hub",
        "PATH": "/bin",
    }
    assert service_variables(environment) == {
        "OCRD_STATE_DIR": "/s",
        "HTTPS_PROXY": "http://proxy:3128",
    }


def test_folders_become_absolute_and_control_characters_are_left_out() -> None:
    environment = {"OCRD_STATE_DIR": "state", "HF_HOME": "~/hf", "no_proxy": "a\nB=c"}
    assert service_variables(environment) == {
        "OCRD_STATE_DIR": str(Path.cwd() / "state"),
        "HF_HOME": str(Path.home() / "hf"),
    }


@pytest.mark.parametrize(
    ("path", "protected"),
    [
        ("/Users/me/Desktop/x", True),
        ("/Users/me/Documents/scans", True),
        ("/Volumes/NAS/in", True),
        ("/Users/me/Library/Mobile Documents/a", True),
        ("/Users/me/OCR/inbox", False),
        ("/Users/me/DesktopX", False),
    ],
)
def test_folders_that_macos_protects_are_known(path: str, protected: bool) -> None:
    assert (tcc_protected(Path(path), Path("/Users/me")) is not None) is protected
