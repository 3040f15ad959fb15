"""Only what belongs to the model is removed, and nothing through a link."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from pathlib import Path

import pytest

from ocrd.errors import ModelError
from ocrd.model.owned_path import OwnedPath
from tests.unit.model.user_home import (
    REVISION,
    all_paths,
    create_other_files,
    make_storage,
    removable,
)


@pytest.mark.parametrize(
    "parts",
    [
        (),
        ("..",),
        (".",),
        ("a", ".."),
        ("a/b",),
        ("",),
        ("/etc",),
        (".hidden",),
        ("a\0",),
        ("a\n",),
    ],
)
def test_an_owned_path_needs_plain_names(tmp_path: Path, parts: tuple[str, ...]) -> None:
    with pytest.raises(ModelError, match="name"):
        OwnedPath(tmp_path, parts)


def test_an_owned_path_needs_an_absolute_root() -> None:
    with pytest.raises(ModelError, match="absolute"):
        OwnedPath(Path("models"), ("x",))


def test_all_of_the_models_folders_are_removed_and_no_others(tmp_path: Path) -> None:
    create_other_files(tmp_path)
    before = all_paths(tmp_path)
    storage = make_storage(tmp_path)
    for owned in removable(storage):
        owned.path.mkdir(parents=True, exist_ok=True)
        (owned.path / "weights").write_text("x")
    for owned in removable(storage):
        owned.remove()
        owned.remove()  # nothing happens the second time
        assert not owned.exists()
    left = {path for path in all_paths(tmp_path) if Path(path).is_file()}
    assert left == {path for path in before if Path(path).is_file()}


def test_a_link_is_removed_but_not_its_target(tmp_path: Path) -> None:
    create_other_files(tmp_path)
    storage = make_storage(tmp_path)
    storage.hub_copy.path.symlink_to(tmp_path / "home")
    inside = storage.installed.path
    inside.mkdir(parents=True)
    (inside / "link").symlink_to(tmp_path / "home")
    storage.hub_copy.remove()
    storage.installed.remove()
    assert not storage.hub_copy.exists() and (tmp_path / "home/letter").read_text() == "mine"


def test_nothing_is_removed_through_a_link(tmp_path: Path) -> None:
    """The repository's folder is a link to a folder that contains the same name."""
    storage = make_storage(tmp_path)
    other_folder = tmp_path / "other_folder"
    (other_folder / REVISION).mkdir(parents=True)
    storage.models_folder.mkdir()
    storage.repo_folder.symlink_to(other_folder)
    with pytest.raises(ModelError, match="through a link"):
        storage.installed.remove()
    assert (other_folder / REVISION).is_dir()


def test_the_root_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "big-disk").mkdir()
    storage = make_storage(tmp_path)
    storage.models_folder.symlink_to(tmp_path / "big-disk")
    storage.installed.path.mkdir(parents=True)
    storage.installed.remove()
    assert not storage.installed.exists() and (tmp_path / "big-disk").is_dir()


@pytest.mark.parametrize(
    "home", ["models--deepseek-ai--DeepSeek-OCR", "models--deepseek-ai--DeepSeek-OCR/me/x"]
)
def test_the_home_folder_and_the_folders_above_it_are_never_removed(
    tmp_path: Path, home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hub" / home).mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "hub" / home))
    with pytest.raises(ModelError, match="home folder"):
        make_storage(tmp_path).hub_copy.remove()
    assert (tmp_path / "hub" / home).is_dir()


def test_a_folder_that_cannot_be_removed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = make_storage(tmp_path)
    storage.installed.path.mkdir(parents=True)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(shutil, "rmtree", refuse)
    with pytest.raises(
        ModelError, match=f"{REVISION} cannot be removed .Permission denied.; remove it by hand"
    ):
        storage.installed.remove()


def test_a_file_with_the_name_of_the_cache_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "hub").write_text("mine")
    make_storage(tmp_path).hub_copy.remove()
    assert (tmp_path / "hub").read_text() == "mine"


def test_read_only_folders_become_writable_before_they_are_emptied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = make_storage(tmp_path).installed.path / "inner"
    inner.mkdir(parents=True)
    for folder in (inner, inner.parent):
        folder.chmod(0o500)
    modes: list[int] = []
    real = shutil.rmtree

    def note_modes(name: str, dir_fd: int) -> None:
        modes.extend(stat.S_IMODE(folder.stat().st_mode) for folder in (inner, inner.parent))
        real(name, dir_fd=dir_fd)

    monkeypatch.setattr(shutil, "rmtree", note_modes)  # root can empty them anyway
    make_storage(tmp_path).installed.remove()
    assert modes == [0o700, 0o700]


def test_removable_bytes_are_what_a_removal_frees(tmp_path: Path) -> None:
    storage = make_storage(tmp_path)
    storage.installed.path.mkdir(parents=True)
    (storage.installed.path / "weights").write_bytes(b"x" * 100_000)
    assert storage.installed.removable_bytes() >= 100_000
    os.link(storage.installed.path / "weights", tmp_path / "hard link")
    assert storage.installed.removable_bytes() == 0
