"""Installing and uninstalling can be interrupted at any step and repeated any number of times."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ocrd.errors import ConfigError, ServiceError
from ocrd.files import write_atomically
from ocrd.service.install import install
from ocrd.service.service_manager import ServiceState
from ocrd.service.uninstall import uninstall
from tests.unit.service.home import Home


@pytest.fixture
def homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    def generate() -> Iterator[Home]:
        for number in itertools.count():
            folder = tmp_path / str(number)
            folder.mkdir()
            yield Home(folder, monkeypatch)

    return generate()


def run_steps(messages: Iterator[str], count: int) -> bool:
    """Run some steps and stop there, as a kill between two steps would.

    Returns:
        False when there were fewer steps.
    """
    return all(next(messages, None) is not None for _ in range(count))


def test_an_installation_interrupted_after_any_step_is_completed_by_the_next(
    homes: Iterator[Home],
) -> None:
    for count in itertools.count():
        home = next(homes)
        interrupted = run_steps(install(home.installation, pocket=True), count)
        home.install()
        assert home.manager.loaded == home.manager.file.read_bytes()
        assert home.manager.loads == 1
        assert (home.folder / "OCR/inbox").is_dir()
        assert home.config.exists()
        assert len(list(home.folder.glob("Library/Services/*/Contents/*"))) == 2
        home.uninstall()
        assert list(home.contents()) == ["config.toml"]
        if not interrupted:
            break
    assert count > 6


def test_an_uninstallation_interrupted_after_any_step_is_completed_by_the_next(
    homes: Iterator[Home],
) -> None:
    for count in itertools.count():
        home = next(homes)
        home.install()
        (home.folder / "OCR/inbox/mine.png").write_text("mine")
        interrupted = run_steps(uninstall(home.installation), count)
        home.uninstall()
        left = ["OCR", "OCR/inbox", "OCR/inbox/mine.png", "config.toml"]
        assert list(home.contents()) == left
        assert home.manager.loaded is None
        if not interrupted:
            break
    assert count > 4


def test_a_file_whose_write_was_interrupted_is_replaced_and_not_renamed(
    homes: Iterator[Home], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted between the record and the file, and between the file and the record."""
    for when in ("before", "after"):
        home = next(homes)

        def interrupt(path: Path, data: bytes, *, when: str = when) -> None:
            if when == "after":
                write_atomically(path, data)
            raise KeyboardInterrupt

        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr("ocrd.service.install.write_atomically", interrupt)
            home.install()
        home.install()
        home.uninstall()
        left = home.contents()
        assert not [name for name in left if "edited" in name or name.endswith("plist")]


def test_a_file_whose_write_was_interrupted_before_an_upgrade_is_replaced_and_not_renamed(
    homes: Iterator[Home], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that was not confirmed is ocrd's own, though the next version writes other bytes."""
    home = next(homes)

    def interrupt(path: Path, data: bytes) -> None:
        write_atomically(path, data)
        if path == home.manager.file:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("ocrd.service.install.write_atomically", interrupt)
        home.install()
    context = replace(home.installation.context, program=Path("/new/ocrd"))
    home.installation = replace(home.installation, context=context)
    home.install()
    assert not [name for name in home.contents() if "edited" in name]
    assert b"/new/ocrd" in home.manager.file.read_bytes()


def test_without_its_record_it_still_recognises_its_own_files(homes: Iterator[Home]) -> None:
    home = next(homes)
    home.install()
    (home.folder / "state/service.json").unlink()
    messages = home.uninstall()
    assert f"removed {home.manager.file}" in messages
    assert not home.manager.file.exists()
    assert not (home.folder / "Library/Services/OCR with ocrd.workflow").exists()


def test_a_folder_that_existed_before_is_not_removed(homes: Iterator[Home]) -> None:
    home = next(homes)
    (home.folder / "OCR/inbox").mkdir(parents=True)
    home.install()
    home.uninstall()
    assert (home.folder / "OCR/inbox").is_dir()


def test_a_new_version_is_loaded_even_if_its_files_are_the_same(
    homes: Iterator[Home], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = next(homes)
    home.install()
    home.install()
    assert home.manager.loads == 1
    monkeypatch.setattr("ocrd.__version__", "99.0")
    home.install()
    assert home.manager.loads == 2


def test_a_link_in_the_place_of_the_service_file_is_renamed_and_its_target_left_alone(
    homes: Iterator[Home],
) -> None:
    home = next(homes)
    target = home.folder / "target"
    target.write_text("mine")
    home.manager.file.parent.mkdir(parents=True)
    home.manager.file.symlink_to(target)
    home.install()
    assert target.read_text() == "mine"
    assert not home.manager.file.is_symlink()
    assert (home.manager.file.parent / "local.ocrd.plist.edited").is_symlink()


def test_a_configuration_is_written_completely_or_not_at_all(
    homes: Iterator[Home], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = next(homes)

    def interrupt(_descriptor: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("ocrd.files.sync_descriptor", interrupt)
        home.install()
    assert not home.config.exists()
    home.install()
    assert 'path = "pocket"' in home.config.read_text()


def test_a_running_service_whose_manager_does_not_answer_keeps_its_files(
    homes: Iterator[Home], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = next(homes)
    home.install()
    no_answer = ServiceState(
        "launchd", home.manager.file, installed=True, error="did not answer within 20 s"
    )
    monkeypatch.setattr(home.manager, "state", lambda: no_answer)
    with pytest.raises(ServiceError, match="cannot be stopped: did not answer"):
        home.uninstall()
    assert home.manager.file.exists()
    home.manager.loaded = None
    home.uninstall()
    assert not home.manager.file.exists()


def test_an_invalid_configuration_stops_the_removal_of_the_model_before_it_begins(
    homes: Iterator[Home],
) -> None:
    home = next(homes)
    home.install()
    home.config.write_text("[dance]")
    with pytest.raises(ConfigError):
        list(uninstall(home.installation, model=True))
    assert home.manager.file.exists()
    assert home.manager.loaded
    home.uninstall()
    assert not home.manager.file.exists()
