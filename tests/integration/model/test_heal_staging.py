"""The staging folder may contain anything; only verified files become the model."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ocrd.errors import ModelError
from ocrd.model import assemble as assemble_module
from ocrd.model import staging as staging_module
from ocrd.model.expected import ExpectedModel
from ocrd.model.hashes import HashCache
from ocrd.model.manifest import MANIFEST_FILE
from ocrd.model.verify import verify
from tests.hub import LocalHub, etag_of
from tests.machine import Machine, flip_byte
from tests.published import MODEL_FILES, REPO, SHARDS, published_files

FIRST, SECOND = SHARDS


def test_a_partial_download_that_is_a_users_file_is_not_written_to(
    machine: Machine, hub: LocalHub
) -> None:
    staging = machine.storage.staging.path
    staging.mkdir(parents=True)
    for name, make_link in ((FIRST, os.symlink), (SECOND, os.link)):
        mine = machine.home / f"mine-{name}"
        mine.write_bytes(b"mine")
        make_link(mine, staging / f"{name}.{etag_of(published_files()[name])[:16]}.part")
    os.mkfifo(staging / "config.json")
    (staging / "tokenizer.json").mkdir()
    assert machine.heal().ok and machine.verify().ok
    assert {p.read_bytes() for p in machine.home.glob("mine-*")} == {b"mine"}


def test_a_linked_models_folder_is_refused_before_anything_changes(
    machine: Machine, hub: LocalHub
) -> None:
    (machine.home / "big disk").mkdir()
    machine.storage.models_folder.mkdir()
    machine.storage.repo_folder.symlink_to(machine.home / "big disk")
    with pytest.raises(ModelError, match=r"is a link; set model\.folder"):
        machine.heal()
    assert list((machine.home / "big disk").iterdir()) == []


def test_a_link_with_the_name_of_the_staging_folder_is_not_followed(
    machine: Machine, hub: LocalHub
) -> None:
    mine = machine.home / "mine"
    mine.mkdir()
    (mine / "letter").write_text("mine")
    machine.storage.repo_folder.mkdir(parents=True)
    machine.storage.staging.path.symlink_to(mine)
    assert machine.heal().ok and machine.verify().ok
    assert [p.name for p in mine.iterdir()] == ["letter"]


def test_partial_downloads_of_another_version_are_not_continued(
    machine: Machine, hub: LocalHub
) -> None:
    staging = machine.storage.staging.path
    staging.mkdir(parents=True)
    (staging / f"{FIRST}.0123456789abcdef.part").write_bytes(b"x" * 1000)
    (staging / "leftover").mkdir()
    (staging / FIRST).write_bytes(b"y" * len(published_files()[FIRST]))
    assert machine.heal().ok and machine.verify().ok
    assert {p.name for p in machine.folder.iterdir()} == {*MODEL_FILES, MANIFEST_FILE}
    assert hub.downloads_of(FIRST)[0].range is None


def test_a_partial_download_that_is_too_long_starts_again(machine: Machine, hub: LocalHub) -> None:
    staging = machine.storage.staging.path
    staging.mkdir(parents=True)
    data = published_files()[FIRST]
    (staging / f"{FIRST}.{etag_of(data)[:16]}.part").write_bytes(b"x" * (len(data) + 1))
    assert machine.heal().ok and machine.verify().ok


def test_a_copy_with_a_wrong_byte_is_found(
    machine: Machine, hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where hard links do not work (another disk), a good file is copied, and the copy hashed."""
    machine.heal()
    (machine.folder / "tokenizer.json").unlink()

    def no_links(*_: object, **__: object) -> None:
        raise OSError(errno.EXDEV, "another disk")

    real = staging_module.link_or_copy

    def copy_wrongly(
        source: Path, target: Path, *, link: bool, on_bytes: Callable[[int], None]
    ) -> None:
        real(source, target, link=link, on_bytes=on_bytes)
        if target.name == FIRST and target.stat().st_nlink == 1:
            flip_byte(target)

    monkeypatch.setattr(os, "link", no_links)
    monkeypatch.setattr(assemble_module, "link_or_copy", copy_wrongly)
    assert machine.heal().ok and machine.verify().ok
    # The first one twice, each time with a redirect.
    assert hub.downloads_of(SECOND) and len(hub.downloads_of(FIRST)) == 4


def test_the_hashes_of_a_healed_model_are_cached(machine: Machine) -> None:
    machine.heal()
    cache = HashCache(machine.home / "hashes.json")
    hashed: list[int] = []
    assert verify(machine.folder, cache, expected=ExpectedModel(REPO), on_bytes=hashed.append).ok
    assert hashed == []
