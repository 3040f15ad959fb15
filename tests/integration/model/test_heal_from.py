"""``--from PATH``: the model is healed from a copy, without a network."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from ocrd.errors import ModelError, ModelUnavailable
from ocrd.model.manifest import MANIFEST_FILE
from tests.hub import etag_of
from tests.machine import Machine, flip_byte, room_for
from tests.published import MODEL_FILES, SHARDS, model_bytes, published_files

FIRST, SECOND = SHARDS
COMMIT = "d" * 40


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "here", COMMIT)


@pytest.fixture
def other(tmp_path: Path) -> Machine:
    other = Machine(tmp_path / "usb", COMMIT)
    other.fill_hub_cache(published_files(), COMMIT)
    return other


@pytest.mark.parametrize("where", ["snapshot", "repository", "hub", "home", "managed", "local dir"])
def test_every_kind_of_copy_can_be_used(
    machine: Machine, other: Machine, where: str, tmp_path: Path
) -> None:
    snapshot = other.storage.hub_copy.path / "snapshots" / (COMMIT)
    if where == "managed":
        other.heal()
    local = tmp_path / "local"
    records = local / ".cache/huggingface/download"
    records.mkdir(parents=True)
    for name in MODEL_FILES:
        shutil.copyfile(snapshot / name, local / name)
        (records / f"{name}.metadata").write_text(
            f"{COMMIT}\n{(snapshot / name).readlink().name}\n1.0\n"
        )
    path = {
        "snapshot": snapshot,
        "repository": other.storage.hub_copy.path,
        "hub": other.storage.hub_cache,
        "home": other.storage.hub_cache.parent,
        "managed": other.folder,
        "local dir": local,
    }[where]
    assert machine.heal(source=path).ok and machine.verify().ok
    for name in MODEL_FILES:  # copied: the owner may edit or unmount the source
        assert (machine.folder / name).stat().st_nlink == 1


def test_a_folder_with_files_of_two_commits_is_refused(machine: Machine, tmp_path: Path) -> None:
    records = tmp_path / "local/.cache/huggingface/download"
    records.mkdir(parents=True)
    for number, name in enumerate(MODEL_FILES):
        data = published_files()[name]
        (tmp_path / "local" / name).write_bytes(data)
        (records / f"{name}.metadata").write_text(
            f"{'de'[number % 2] * 40}\n{etag_of(data)}\n1.0\n"
        )
    with pytest.raises(ModelError, match="no record"):
        machine.heal(source=tmp_path / "local")


def test_the_copy_must_fit_on_the_disk(machine: Machine, other: Machine) -> None:
    machine.free_bytes = room_for(model_bytes()) - 1
    with pytest.raises(ModelUnavailable, match="missing"):
        machine.heal(source=other.storage.hub_cache)
    machine.free_bytes += 1
    assert machine.heal(source=other.storage.hub_cache).ok


def test_a_partial_download_does_not_become_a_part_of_the_model(
    machine: Machine, other: Machine
) -> None:
    staging = machine.storage.staging.path
    staging.mkdir(parents=True)
    (staging / f"{FIRST}.{etag_of(published_files()[FIRST])[:16]}.part").write_bytes(b"begun")
    machine.heal(source=other.storage.hub_cache)
    assert {p.name for p in machine.folder.iterdir()} == {*MODEL_FILES, MANIFEST_FILE}


def test_a_reset_from_a_bad_copy_removes_nothing(machine: Machine, other: Machine) -> None:
    machine.fill_hub_cache(published_files(), COMMIT)
    flip_byte(other.storage.hub_copy.path / "blobs" / etag_of(published_files()[FIRST]))
    with pytest.raises(ModelError, match=FIRST):
        machine.heal(reset=True, source=other.storage.hub_cache)
    assert machine.storage.hub_copy.exists()


def test_only_the_broken_files_are_replaced(machine: Machine, other: Machine) -> None:
    machine.heal(source=other.storage.hub_cache)
    kept = (machine.folder / SECOND).stat().st_ino
    flip_byte(machine.folder / FIRST)
    assert machine.heal(source=other.storage.hub_cache).ok and machine.verify().ok
    assert (machine.folder / SECOND).stat().st_ino == kept


def test_a_broken_copy_is_refused_and_removes_nothing(machine: Machine, other: Machine) -> None:
    machine.fill_hub_cache({"config.json": b"{}"}, COMMIT)
    flip_byte(other.storage.hub_copy.path / "blobs" / etag_of(published_files()[FIRST]))
    with pytest.raises(ModelError, match=FIRST):
        machine.heal(source=other.storage.hub_cache)
    assert machine.contents() == {} and machine.storage.hub_copy.exists()


def test_an_incomplete_copy_is_refused(machine: Machine, other: Machine) -> None:
    (other.storage.hub_copy.path / "snapshots" / (COMMIT) / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"tokenizer\.json"):
        machine.heal(source=other.storage.hub_cache)
    assert machine.contents() == {}


def test_a_copy_of_another_revision_is_refused(machine: Machine, other: Machine) -> None:
    machine.storage = replace(machine.storage, revision="e" * 40)
    with pytest.raises(ModelError, match=f"{'e' * 40} is wanted"):
        machine.heal(source=other.storage.hub_cache)


def test_a_folder_without_a_record_is_refused_with_advice(machine: Machine, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    for name in MODEL_FILES:
        (plain / name).write_bytes(published_files()[name])
    with pytest.raises(ModelError, match=r"model\.path"):
        machine.heal(source=plain)
    with pytest.raises(ModelError, match=r"config\.json"):
        machine.heal(source=tmp_path / "nowhere")


def test_a_reset_from_a_copy_that_it_would_remove_is_refused(machine: Machine) -> None:
    machine.fill_hub_cache(published_files(), COMMIT)
    with pytest.raises(ModelError, match="--reset"):
        machine.heal(reset=True, source=machine.storage.hub_cache)
    assert machine.storage.hub_copy.exists()


def test_a_reset_from_another_copy_removes_the_copies_of_this_machine(
    machine: Machine, other: Machine
) -> None:
    machine.fill_hub_cache({"config.json": b"{}"}, COMMIT)
    assert machine.heal(reset=True, source=other.storage.hub_cache).ok and machine.verify().ok
    assert not machine.storage.hub_copy.exists() and other.storage.hub_copy.exists()
