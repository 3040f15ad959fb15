"""Room on the disk is checked first, and an error of the disk keeps the old model."""

from __future__ import annotations

import errno
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from ocrd.errors import ModelError, ModelUnavailable
from ocrd.model.staging import link_or_copy
from tests.hub import LocalHub
from tests.machine import Machine, flip_byte, room_for
from tests.published import MODEL_FILES, SHARDS, model_bytes, published_files

FIRST, SECOND = SHARDS


def test_how_much_room_is_missing_is_reported_before_anything_changes(
    machine: Machine, hub: LocalHub
) -> None:
    machine.free_bytes = 1_000_000
    with pytest.raises(ModelUnavailable, match=r"\d\.\d+ MB are missing"):
        machine.heal()
    assert hub.downloads() == [] and not machine.storage.staging.exists()


def test_the_room_that_a_reset_frees_counts(machine: Machine, hub: LocalHub) -> None:
    machine.fill_hub_cache(published_files(), machine.storage.revision)
    machine.free_bytes = room_for(model_bytes()) - machine.storage.hub_copy.removable_bytes() - 1
    with pytest.raises(ModelUnavailable, match="missing"):
        machine.heal(reset=True)
    assert machine.storage.hub_copy.exists()
    machine.free_bytes += 1
    existed_meanwhile: list[bool] = []
    hub.faults.cut = {FIRST: [1000]}
    hub.faults.on_cut = lambda: existed_meanwhile.append(machine.storage.hub_copy.exists())
    assert machine.heal(reset=True).ok
    assert existed_meanwhile == [False]  # there was no room for both


def test_files_on_another_disk_need_room_and_free_none(machine: Machine, hub: LocalHub) -> None:
    shared_memory = Path("/dev/shm")
    if not shared_memory.is_dir() or shared_memory.stat().st_dev == machine.home.stat().st_dev:
        pytest.skip("there is no other disk here")
    with tempfile.TemporaryDirectory(dir=shared_memory) as other:
        machine.storage = replace(machine.storage, hub_cache=Path(other))
        machine.fill_hub_cache(published_files(), machine.storage.revision)
        machine.free_bytes = room_for(model_bytes()) - 1
        for reset in (True, False):  # hard links do not work across disks
            with pytest.raises(ModelUnavailable, match="missing"):
                machine.heal(reset=reset)
        machine.free_bytes += 1
        hub.requests.clear()
        assert machine.heal().ok and machine.verify().ok and hub.downloads() == []


def test_files_that_were_fetched_before_need_no_more_room(machine: Machine, hub: LocalHub) -> None:
    hub.faults.stall = {SECOND: [1_000_000, *[0] * 20]}
    with pytest.raises(ModelUnavailable):
        machine.heal()
    hub.faults.stall = {}
    staging = machine.storage.staging.path
    missing = [name for name in MODEL_FILES if not (staging / name).exists()]
    left = sum(len(published_files()[name]) for name in missing)
    machine.free_bytes = room_for(left - 1_000_000) - 1
    with pytest.raises(ModelUnavailable, match="missing"):
        machine.heal()
    machine.free_bytes += 1
    assert machine.heal().ok


def test_half_a_copy_is_removed_from_a_full_disk(tmp_path: Path) -> None:
    (tmp_path / "from").write_bytes(b"x" * 100)

    def full(_count: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        link_or_copy(tmp_path / "from", tmp_path / "to", link=False, on_bytes=full)
    assert [p.name for p in tmp_path.iterdir()] == ["from"]


def test_a_disk_error_is_reported_and_keeps_the_old_model(machine: Machine, hub: LocalHub) -> None:
    machine.heal()
    flip_byte(machine.folder / FIRST)
    old = machine.contents()
    machine.storage.staging.path.write_text("a file where the staging folder should be")
    with pytest.raises(ModelError, match="correct that file or folder") as raised:
        machine.heal()
    assert not isinstance(raised.value, ModelUnavailable)  # a retry would not help
    assert machine.contents() == old


def test_a_read_only_model_folder_can_be_replaced(machine: Machine, hub: LocalHub) -> None:
    machine.heal()
    (machine.folder / FIRST).unlink()
    machine.folder.chmod(0o500)
    assert machine.heal().ok and not machine.storage.replaced.exists()


def test_a_replaced_model_that_cannot_be_removed_is_not_fatal(
    machine: Machine, hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.heal()
    flip_byte(machine.folder / FIRST)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(shutil, "rmtree", refuse)
    assert machine.heal().ok and machine.verify().ok
    assert machine.storage.replaced.exists()
    flip_byte(machine.folder / FIRST)
    old = machine.contents()
    with pytest.raises(ModelError, match="remove it by hand"):
        machine.heal()
    assert machine.contents() == old
    monkeypatch.undo()
    assert machine.heal().ok and not machine.storage.replaced.exists()


def test_a_failed_swap_restores_the_old_model(
    machine: Machine, hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.heal()
    flip_byte(machine.folder / FIRST)
    old = machine.contents()
    real = Path.rename

    def refuse(path: Path, target: Path) -> Path:
        if path == machine.storage.staging.path:
            raise OSError(errno.EIO, "the disk fails")
        return real(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(ModelUnavailable, match="the disk fails"):
        machine.heal()
    assert machine.contents() == old and not machine.storage.replaced.exists()
    monkeypatch.undo()
    hub.requests.clear()
    assert machine.heal().ok and hub.downloads() == []
