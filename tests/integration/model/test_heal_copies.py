"""Copies on this machine are used when their bytes are correct."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ocrd.errors import ModelUnavailable
from ocrd.model.local_sources import LocalCopy
from ocrd.model.manifest import read_manifest
from ocrd.paths import POCKET_MODEL
from tests.hub import LocalHub, etag_of
from tests.machine import Machine, flip_byte
from tests.published import REPO, SHARDS, published_files

FIRST, SECOND = SHARDS


def test_another_revision_shares_the_files_that_did_not_change(
    machine: Machine, hub: LocalHub
) -> None:
    machine.heal()
    first = machine.folder
    tokenizer = json.dumps(json.loads(published_files()["tokenizer.json"]), indent=1).encode()
    files = published_files() | {"tokenizer.json": tokenizer}
    machine.storage = replace(machine.storage, revision=hub.publish(REPO, files, seed="second"))
    hub.requests.clear()
    assert machine.heal().ok and machine.verify().ok
    assert hub.downloads_of(FIRST) == [] and len(hub.downloads_of("tokenizer.json")) == 1
    assert (machine.folder / FIRST).samefile(first / FIRST)
    assert (first / "tokenizer.json").read_bytes() == published_files()["tokenizer.json"]


def test_a_branch_is_followed_to_its_commit(machine: Machine, hub: LocalHub) -> None:
    machine.storage = replace(machine.storage, revision="main")
    assert machine.heal().ok
    manifest = read_manifest(machine.folder)
    assert manifest is not None and manifest.revision == hub.branches["main"]


def test_a_good_copy_in_the_hubs_cache_is_used_instead_of_a_download(
    machine: Machine, hub: LocalHub
) -> None:
    machine.fill_hub_cache(published_files(), machine.storage.revision)
    machine.free_bytes = 0  # a hard link needs no room
    assert machine.heal().ok and machine.verify().ok
    assert hub.downloads() == []
    assert machine.storage.hub_copy.exists()


def test_a_damaged_file_in_the_hubs_cache_is_downloaded(machine: Machine, hub: LocalHub) -> None:
    machine.fill_hub_cache(published_files(), machine.storage.revision)
    flip_byte(machine.storage.hub_copy.path / "blobs" / etag_of(published_files()[FIRST]))
    assert machine.heal().ok and machine.verify().ok
    assert {request.file_name for request in hub.downloads()} == {FIRST}


@pytest.mark.parametrize("revision", ["the commit", "main"])
def test_without_a_network_a_complete_cache_is_enough(tmp_path: Path, revision: str) -> None:
    commit = "d" * 40
    machine = Machine(tmp_path, commit if revision == "the commit" else revision)
    machine.fill_hub_cache(published_files(), commit)
    assert machine.heal().ok and machine.verify().ok


def test_circular_links_in_a_cache_and_links_to_a_users_file_do_no_harm(
    machine: Machine, hub: LocalHub
) -> None:
    snapshot = machine.fill_hub_cache({}, machine.storage.revision)
    (snapshot / "config.json").symlink_to(snapshot / "config.json")
    mine = machine.home / "mine.safetensors"
    mine.write_bytes(published_files()[FIRST])
    (snapshot / FIRST).symlink_to(mine)
    assert machine.heal().ok and machine.verify().ok
    assert hub.downloads_of(FIRST) == []
    assert mine.stat().st_nlink == 1  # copied: its owner may edit it


def test_a_file_on_another_disk_is_copied_and_not_linked() -> None:
    copy = LocalCopy(POCKET_MODEL, None, linkable_root=POCKET_MODEL)
    file = POCKET_MODEL / "config.json"
    device = POCKET_MODEL.stat().st_dev
    assert copy.may_link(file, device) and not copy.may_link(file, device + 1)
    assert not replace(copy, linkable_root=None).may_link(file, device)


def test_without_a_network_the_copy_of_another_branch_is_not_used(
    tmp_path: Path,
) -> None:
    machine = Machine(tmp_path, "v2")
    machine.fill_hub_cache(published_files(), "d" * 40, branch="main")
    with pytest.raises(ModelUnavailable, match="is there a network"):
        machine.heal()
    assert machine.contents() == {}


def test_without_a_network_an_incomplete_cache_needs_the_hub(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "d" * 40)
    machine.fill_hub_cache({n: d for n, d in published_files().items() if n != SECOND}, "d" * 40)
    with pytest.raises(ModelUnavailable, match="is there a network"):
        machine.heal()
    assert machine.contents() == {} and machine.storage.hub_copy.exists()
