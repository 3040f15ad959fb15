"""The old model stays until the new one is verified, and other files in its folder are kept."""

from __future__ import annotations

import shutil

import pytest

from ocrd.errors import ModelUnavailable
from ocrd.model.staging import healing_lock
from tests.hub import LocalHub
from tests.machine import Machine
from tests.published import SHARDS

FIRST, SECOND = SHARDS


def test_a_file_with_the_name_of_the_models_folder_is_kept(machine: Machine, hub: LocalHub) -> None:
    machine.storage.repo_folder.mkdir(parents=True)
    machine.folder.write_text("mine")
    assert machine.heal().ok
    assert [p.read_text() for p in machine.storage.kept.path.iterdir()] == ["mine"]


def test_other_files_in_the_models_folder_are_kept(machine: Machine) -> None:
    machine.heal()
    (machine.folder / "notes.json").write_text("mine")
    (machine.folder / "mine").mkdir()
    (machine.folder / "mine/too").write_text("mine too")
    (machine.folder / FIRST).unlink()
    assert machine.heal().ok
    kept = machine.storage.kept.path
    assert (kept / "notes.json").read_text() == "mine"
    assert (kept / "mine/too").read_text() == "mine too"
    (machine.folder / "notes.json").write_text("again")
    (machine.folder / FIRST).unlink()
    machine.heal()
    assert sorted(p.name for p in kept.iterdir()) == ["mine", "notes.json", "notes.json-2"]


def test_two_healers_never_work_at_the_same_time(machine: Machine, hub: LocalHub) -> None:
    with healing_lock(machine.storage, 1), pytest.raises(ModelUnavailable, match="another ocrd"):
        machine.heal()
    assert hub.requests == []
    assert machine.heal().ok


@pytest.mark.parametrize("moment", ["between the renames", "before the old model is removed"])
def test_an_interrupted_swap_is_finished_or_undone(
    machine: Machine, hub: LocalHub, moment: str
) -> None:
    machine.heal()
    machine.folder.rename(machine.storage.replaced.path)
    if moment == "between the renames":
        assert machine.healer().preview() is None
    else:
        shutil.copytree(machine.storage.replaced.path, machine.folder)
    hub.requests.clear()
    assert machine.heal().ok and machine.verify().ok
    assert hub.downloads() == [] and not machine.storage.replaced.exists()
