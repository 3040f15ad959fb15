"""A reset trusts no copy, and removes the others when the new one is complete."""

from __future__ import annotations

import shutil

import pytest

from ocrd.errors import ModelError, ModelUnavailable
from tests.hub import LocalHub, etag_of
from tests.machine import Machine, flip_byte, room_for
from tests.published import MODEL_FILES, SHARDS, published_files

FIRST, SECOND = SHARDS


def test_a_reset_fetches_everything_again(machine: Machine, hub: LocalHub) -> None:
    machine.heal()
    machine.fill_hub_cache(published_files(), machine.storage.revision)
    old = (machine.folder / SECOND).stat().st_ino
    hub.requests.clear()
    assert machine.heal(reset=True).ok and machine.verify().ok
    assert all(hub.downloads_of(name) for name in MODEL_FILES)
    assert (machine.folder / SECOND).stat().st_ino != old and not machine.storage.hub_copy.exists()


def test_a_reset_without_a_network_removes_nothing(machine: Machine, hub: LocalHub) -> None:
    machine.heal()
    machine.fill_hub_cache(published_files(), machine.storage.revision)
    hub.faults.status = {"/api/": [503] * 9}
    with pytest.raises(ModelUnavailable):
        machine.heal(reset=True)
    assert machine.verify().ok and machine.storage.hub_copy.exists()


def test_a_reset_keeps_the_other_copies_until_the_new_one_is_complete(
    machine: Machine, hub: LocalHub
) -> None:
    machine.fill_hub_cache(published_files(), machine.storage.revision)
    existed_meanwhile: list[bool] = []
    hub.faults.cut = {FIRST: [1000]}
    hub.faults.on_cut = lambda: existed_meanwhile.append(machine.storage.hub_copy.exists())
    assert machine.heal(reset=True).ok
    assert existed_meanwhile == [True] and not machine.storage.hub_copy.exists()


def test_an_interrupted_reset_is_resumed(machine: Machine, hub: LocalHub) -> None:
    hub.faults.stall = {SECOND: [70_000, *[0] * 20]}
    healer = machine.healer(reset=True)
    with pytest.raises(ModelUnavailable):
        healer.heal()
    hub.faults.stall = {}
    hub.requests.clear()
    staged = {path.name for path in machine.storage.staging.path.iterdir()}
    left = sum(len(published_files()[name]) for name in MODEL_FILES if name not in staged)
    machine.free_bytes = room_for(left - 70_000)
    assert healer.heal().ok and machine.verify().ok
    assert hub.downloads_of(FIRST) == []
    assert {request.range for request in hub.downloads_of(SECOND)} == {"bytes=70000-"}


def test_a_failed_reset_keeps_the_other_copies(machine: Machine, hub: LocalHub) -> None:
    machine.fill_hub_cache(published_files(), machine.storage.revision)
    hub.faults.flip = {FIRST: 10**6}
    with pytest.raises(ModelError, match="installed model was not changed"):
        machine.heal(reset=True)
    assert machine.storage.hub_copy.exists()


def test_when_fetching_again_fails_every_copy_is_removed_and_everything_fetched(
    machine: Machine, hub: LocalHub
) -> None:
    machine.heal()
    machine.fill_hub_cache(published_files(), machine.storage.revision)
    flip_byte(machine.storage.hub_copy.path / "blobs" / etag_of(published_files()[FIRST]))
    other_models = [
        machine.storage.hub_cache / "models--other--model",
        machine.storage.modules_cache / "transformers_modules/x",
    ]
    for folder in (*(copy.path for copy in machine.storage.code_copies), *other_models):
        folder.mkdir(parents=True)
    flip_byte(machine.folder / FIRST)
    hub.faults.flip = {FIRST: 2}
    assert machine.heal().ok and machine.verify().ok
    assert not machine.storage.hub_copy.exists()
    assert not any(copy.exists() for copy in machine.storage.code_copies)
    assert all(folder.is_dir() for folder in other_models)


def test_a_preview_changes_nothing(machine: Machine, hub: LocalHub) -> None:
    machine.heal()
    assert machine.healer().preview() is None
    flip_byte(machine.folder / FIRST)
    old = machine.contents()
    hub.requests.clear()
    plan = machine.healer().preview()
    assert plan is not None and plan.removals == ()
    assert (plan.method(FIRST), plan.method(SECOND)) == ("fetch", "link")
    assert plan.bytes_by("fetch") == len(published_files()[FIRST])
    machine.storage.staging.path.mkdir()
    shutil.copyfile(machine.folder / SECOND, machine.storage.staging.path / SECOND)
    reset = machine.healer(reset=True).preview()
    machine.storage.staging.remove()
    assert reset is not None and reset.removals == machine.storage.other_copies
    assert reset.method(SECOND) == "fetch"
    assert machine.contents() == old and hub.downloads() == []
    assert not machine.storage.staging.exists()
