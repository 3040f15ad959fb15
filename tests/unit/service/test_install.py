"""Installing and removing may be cut short anywhere, and be done again any number of times."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ocrd import paths, system_commands
from ocrd.errors import ConfigError, ServiceError
from ocrd.files import write_atomically
from ocrd.service.install import install
from ocrd.service.installation import Installation
from ocrd.service.manager import Daemon, State
from ocrd.service.templates import Facts
from ocrd.service.uninstall import uninstall


class Manager:
    """launchd, without the daemon."""

    name = "launchd"

    def __init__(self, file: Path) -> None:
        self.file = file
        self.loads = 0
        self.loaded: bytes | None = None

    def check(self) -> None:
        pass

    def load(self) -> None:
        self.loads += 1
        self.loaded = self.file.read_bytes()

    def stop(self) -> bool:
        ran = self.loaded is not None
        self.loaded = None
        return ran

    def clear(self) -> None:
        pass

    def state(self) -> State:
        return State(self.name, self.file, self.file.exists(), self.loaded is not None)


class Home:
    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        monkeypatch.setenv("HOME", str(folder))
        monkeypatch.setenv("OCRD_STATE_DIR", str(folder / "state"))
        monkeypatch.setitem(system_commands.PROGRAMS, "pbs", "/usr/bin/true")
        self.manager = Manager(folder / "Library/LaunchAgents/local.ocrd.plist")
        monkeypatch.setattr(Daemon, "running", lambda _self: self.manager.loaded is not None)
        monkeypatch.setattr(
            Daemon,
            "fact",
            lambda _self: {"pid": 1, "by": "launchd", "since": 9e9} if self.manager.loaded else {},
        )
        self.config = folder / "config.toml"
        facts = Facts(Path("/bin/ocrd"), self.config, folder, folder / "state/logs/launchd.log")
        action = folder / "Library/Services/OCR with ocrd.workflow"
        self.order = Installation(self.config, paths.state_dir(), facts, self.manager, action)  # type: ignore[arg-type]

    def install(self) -> list[str]:
        return list(install(self.order, pocket=True))

    def uninstall(self) -> list[str]:
        return list(uninstall(self.order))

    def everything(self) -> dict[str, Any]:
        kept = {
            p for p in self.folder.rglob("*") if "state" not in p.relative_to(self.folder).parts
        }
        return {
            str(p.relative_to(self.folder)): p.read_bytes() if p.is_file() else None
            for p in sorted(kept)
        }


@pytest.fixture
def homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    def made() -> Iterator[Home]:
        for number in itertools.count():
            folder = tmp_path / str(number)
            folder.mkdir()
            yield Home(folder, monkeypatch)

    return made()


def cut(sentences: Iterator[str], after: int) -> bool:
    """Take so many steps and stop there, as a kill would between two of them.

    False when there were no more.
    """
    return all(next(sentences, None) is not None for _ in range(after))


def test_an_installation_cut_short_behind_any_step_is_finished_by_the_next(
    homes: Iterator[Home],
) -> None:
    for after in itertools.count():
        home = next(homes)
        whole = not cut(install(home.order, pocket=True), after)
        home.install()
        assert home.manager.loaded == home.manager.file.read_bytes() and home.manager.loads == 1
        assert (home.folder / "OCR/inbox").is_dir() and home.config.exists()
        assert len(list(home.folder.glob("Library/Services/*/Contents/*"))) == 2
        home.uninstall()
        assert list(home.everything()) == ["config.toml"]
        if whole:
            break
    assert after > 6


def test_a_removal_cut_short_behind_any_step_is_finished_by_the_next(homes: Iterator[Home]) -> None:
    for after in itertools.count():
        home = next(homes)
        home.install()
        (home.folder / "OCR/inbox/mine.png").write_text("mine")
        whole = not cut(uninstall(home.order), after)
        home.uninstall()
        left = ["OCR", "OCR/inbox", "OCR/inbox/mine.png", "config.toml"]
        assert list(home.everything()) == left and home.manager.loaded is None
        if whole:
            break
    assert after > 4


def test_a_write_cut_short_is_known_as_ours_and_not_set_aside(
    homes: Iterator[Home], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the record and the file, and between the file and the record."""
    for when in ("before", "after"):
        home = next(homes)

        def dies(path: Path, data: bytes, *, when: str = when) -> None:
            if when == "after":
                write_atomically(path, data)
            raise KeyboardInterrupt

        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr("ocrd.service.install.write_atomically", dies)
            home.install()
        home.install()
        home.uninstall()
        assert not [
            name for name in home.everything() if "edited" in name or name.endswith("plist")
        ]


def test_without_its_record_it_still_knows_its_own_files(homes: Iterator[Home]) -> None:
    home = next(homes)
    home.install()
    (home.folder / "state/service.json").unlink()
    said = home.uninstall()
    assert f"removed {home.manager.file}" in said and not home.manager.file.exists()
    assert not (home.folder / "Library/Services/OCR with ocrd.workflow").exists()


def test_a_folder_that_was_there_before_is_not_removed(homes: Iterator[Home]) -> None:
    home = next(homes)
    (home.folder / "OCR/inbox").mkdir(parents=True)
    home.install()
    home.uninstall()
    assert (home.folder / "OCR/inbox").is_dir()


def test_a_new_version_is_loaded_though_its_files_are_the_same(
    homes: Iterator[Home], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = next(homes)
    home.install()
    home.install()
    assert home.manager.loads == 1
    monkeypatch.setattr("ocrd.__version__", "99.0")
    home.install()
    assert home.manager.loads == 2


def test_a_link_in_the_place_of_our_file_is_moved_and_its_target_left_alone(
    homes: Iterator[Home],
) -> None:
    home = next(homes)
    target = home.folder / "target"
    target.write_text("mine")
    home.manager.file.parent.mkdir(parents=True)
    home.manager.file.symlink_to(target)
    home.install()
    assert target.read_text() == "mine" and not home.manager.file.is_symlink()
    assert (home.manager.file.parent / "local.ocrd.plist.edited").is_symlink()


def test_a_configuration_is_written_whole_or_not_at_all(
    homes: Iterator[Home], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = next(homes)

    def dies(_descriptor: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("ocrd.files.sync_descriptor", dies)
        home.install()
    assert not home.config.exists()
    home.install()
    assert 'path = "pocket"' in home.config.read_text()


def test_a_service_that_runs_and_cannot_be_asked_keeps_its_files(
    homes: Iterator[Home], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = next(homes)
    home.install()
    silent = State("launchd", home.manager.file, installed=True, trouble="no answer within 20 s")
    monkeypatch.setattr(home.manager, "state", lambda: silent)
    with pytest.raises(ServiceError, match="cannot be asked to stop: no answer"):
        home.uninstall()
    assert home.manager.file.exists()
    home.manager.loaded = None
    home.uninstall()
    assert not home.manager.file.exists()


def test_a_model_that_no_configuration_names_stops_the_removal_before_it_begins(
    homes: Iterator[Home],
) -> None:
    home = next(homes)
    home.install()
    home.config.write_text("[dance]")
    with pytest.raises(ConfigError):
        list(uninstall(home.order, model=True))
    assert home.manager.file.exists() and home.manager.loaded
    home.uninstall()
    assert not home.manager.file.exists()


def test_a_write_cut_short_before_an_upgrade_is_replaced_not_set_aside(
    homes: Iterator[Home], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written and not yet confirmed is ours, though the next version writes something
    else there.
    """
    home = next(homes)

    def dies(path: Path, data: bytes) -> None:
        write_atomically(path, data)
        if path == home.manager.file:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("ocrd.service.install.write_atomically", dies)
        home.install()
    home.order = replace(home.order, facts=replace(home.order.facts, program=Path("/new/ocrd")))
    home.install()
    assert not [name for name in home.everything() if "edited" in name]
    assert b"/new/ocrd" in home.manager.file.read_bytes()
