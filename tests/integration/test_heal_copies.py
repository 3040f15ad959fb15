"""What lies on this machine, or at a path that the user names, is used when its bytes are right."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from ocrd.errors import ModelError, ModelUnavailable
from ocrd.model.local_sources import LocalCopy
from ocrd.model.manifest import MANIFEST_FILE, read_manifest
from ocrd.paths import POCKET_MODEL
from tests.hub import LocalHub, etag_of
from tests.machine import Machine, flip, room_for
from tests.published import REPO, SHARDS, WANTED, published_files

FIRST, SECOND = SHARDS


def test_another_revision_shares_the_files_that_did_not_change(
    machine: Machine, hub: LocalHub
) -> None:
    machine.heal()
    first = machine.folder
    tokenizer = json.dumps(json.loads(published_files()["tokenizer.json"]), indent=1).encode()
    machine.storage = replace(
        machine.storage,
        revision=hub.publish(
            REPO, published_files() | {"tokenizer.json": tokenizer}, seed="second"
        ),
    )
    hub.asked.clear()
    assert machine.heal().ok and machine.verified().ok
    assert hub.fetched(FIRST) == [] and len(hub.fetched("tokenizer.json")) == 1
    assert (machine.folder / FIRST).samefile(first / FIRST)
    assert (first / "tokenizer.json").read_bytes() == published_files()["tokenizer.json"]


def test_a_branch_is_followed_to_its_commit(machine: Machine, hub: LocalHub) -> None:
    machine.storage = replace(machine.storage, revision="main")
    assert machine.heal().ok
    manifest = read_manifest(machine.folder)
    assert manifest is not None and manifest.revision == hub.branches["main"]


def test_a_good_copy_in_the_hubs_cache_is_used_in_place_of_a_download(
    machine: Machine, hub: LocalHub
) -> None:
    machine.cache(published_files(), machine.storage.revision)
    machine.free = 0  # a second name needs no room
    assert machine.heal().ok and machine.verified().ok
    assert hub.bytes_asked == 0
    assert machine.storage.hub_copy.exists()


def test_a_bad_copy_in_the_cache_is_passed_over(machine: Machine, hub: LocalHub) -> None:
    machine.cache(published_files(), machine.storage.revision)
    flip(machine.storage.hub_copy.path / "blobs" / etag_of(published_files()[FIRST]))
    assert machine.heal().ok and machine.verified().ok
    assert {
        a.path.rsplit("/", 1)[1] for a in hub.asked if a.method == "GET" and "/api/" not in a.path
    } == {FIRST}


@pytest.mark.parametrize("revision", ["the commit", "main"])
def test_without_a_network_the_cache_is_enough(tmp_path: Path, revision: str) -> None:
    commit = "d" * 40
    machine = Machine(tmp_path, commit if revision == "the commit" else revision)
    machine.cache(published_files(), commit)
    assert machine.heal().ok and machine.verified().ok


def test_links_in_a_cache_that_lead_in_circles_or_to_a_users_file(
    machine: Machine, hub: LocalHub
) -> None:
    snapshot = machine.cache({}, machine.storage.revision)
    (snapshot / "config.json").symlink_to(snapshot / "config.json")
    mine = machine.home / "mine.safetensors"
    mine.write_bytes(published_files()[FIRST])
    (snapshot / FIRST).symlink_to(mine)
    assert machine.heal().ok and machine.verified().ok
    assert mine.stat().st_nlink == 1 and hub.fetched(FIRST) == []  # copied: its owner may edit it


def test_on_another_disk_a_copy_needs_its_room() -> None:
    copy = LocalCopy(POCKET_MODEL, None, linkable_root=POCKET_MODEL)
    file = POCKET_MODEL / "config.json"
    device = POCKET_MODEL.stat().st_dev
    assert copy.may_link(file, device) and not copy.may_link(file, device + 1)
    assert not replace(copy, linkable_root=None).may_link(file, device)


def test_without_a_network_another_branchs_copy_is_not_taken_for_the_wanted_one(
    tmp_path: Path,
) -> None:
    machine = Machine(tmp_path, "v2")
    machine.cache(published_files(), "d" * 40, branch="main")
    with pytest.raises(ModelUnavailable, match="is there a network"):
        machine.heal()
    assert machine.contents() == {}


def test_without_a_network_a_partial_cache_says_that_the_hub_is_needed(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "d" * 40)
    machine.cache({n: d for n, d in published_files().items() if n != SECOND}, "d" * 40)
    with pytest.raises(ModelUnavailable, match="is there a network"):
        machine.heal()
    assert machine.contents() == {} and machine.storage.hub_copy.exists()


class TestFrom:
    """``--from PATH``: healed from a copy, with no network."""

    @pytest.fixture
    def machine(self, tmp_path: Path) -> Machine:
        return Machine(tmp_path / "here", "d" * 40)

    @pytest.fixture
    def other(self, tmp_path: Path) -> Machine:
        other = Machine(tmp_path / "usb", "d" * 40)
        other.cache(published_files(), "d" * 40)
        return other

    @pytest.mark.parametrize(
        "where", ["snapshot", "repository", "hub", "home", "managed", "local dir"]
    )
    def test_every_kind_of_copy_will_do(
        self, machine: Machine, other: Machine, where: str, tmp_path: Path
    ) -> None:
        snapshot = other.storage.hub_copy.path / "snapshots" / ("d" * 40)
        if where == "managed":
            other.heal()
        local = tmp_path / "local"
        records = local / ".cache/huggingface/download"
        records.mkdir(parents=True)
        for name in WANTED:
            shutil.copyfile(snapshot / name, local / name)
            (records / f"{name}.metadata").write_text(
                f"{'d' * 40}\n{(snapshot / name).readlink().name}\n1.0\n"
            )
        path = {
            "snapshot": snapshot, "repository": other.storage.hub_copy.path, "hub": other.storage.hub_cache,
            "home": other.storage.hub_cache.parent, "managed": other.folder, "local dir": local,
        }[where]  # fmt: skip
        assert machine.heal(source=path).ok and machine.verified().ok
        for name in WANTED:  # a copy, for its owner may edit or unmount his
            assert (machine.folder / name).stat().st_nlink == 1

    def test_a_folder_of_two_commits_is_no_record(self, machine: Machine, tmp_path: Path) -> None:
        records = tmp_path / "local/.cache/huggingface/download"
        records.mkdir(parents=True)
        for number, name in enumerate(WANTED):
            data = published_files()[name]
            (tmp_path / "local" / name).write_bytes(data)
            (records / f"{name}.metadata").write_text(
                f"{'de'[number % 2] * 40}\n{etag_of(data)}\n1.0\n"
            )
        with pytest.raises(ModelError, match="no record"):
            machine.heal(source=tmp_path / "local")

    def test_room_for_the_copy_is_asked_for(self, machine: Machine, other: Machine) -> None:
        machine.free = room_for(sum(len(published_files()[name]) for name in WANTED)) - 1
        with pytest.raises(ModelUnavailable, match="missing"):
            machine.heal(source=other.storage.hub_cache)
        machine.free += 1
        assert machine.heal(source=other.storage.hub_cache).ok

    def test_a_part_of_a_download_does_not_go_into_the_model(
        self, machine: Machine, other: Machine
    ) -> None:
        staging = machine.storage.staging.path
        staging.mkdir(parents=True)
        (staging / f"{FIRST}.{etag_of(published_files()[FIRST])[:16]}.part").write_bytes(b"begun")
        machine.heal(source=other.storage.hub_cache)
        assert {p.name for p in machine.folder.iterdir()} == {*WANTED, MANIFEST_FILE}

    def test_a_reset_from_a_bad_copy_removes_nothing(
        self, machine: Machine, other: Machine
    ) -> None:
        machine.cache(published_files(), "d" * 40)
        flip(other.storage.hub_copy.path / "blobs" / etag_of(published_files()[FIRST]))
        with pytest.raises(ModelError, match=FIRST):
            machine.heal(reset=True, source=other.storage.hub_cache)
        assert machine.storage.hub_copy.exists()

    def test_it_mends_only_what_is_broken(self, machine: Machine, other: Machine) -> None:
        machine.heal(source=other.storage.hub_cache)
        kept = (machine.folder / SECOND).stat().st_ino
        flip(machine.folder / FIRST)
        assert machine.heal(source=other.storage.hub_cache).ok and machine.verified().ok
        assert (machine.folder / SECOND).stat().st_ino == kept

    def test_a_broken_copy_is_refused_and_removes_nothing(
        self, machine: Machine, other: Machine
    ) -> None:
        machine.cache({"config.json": b"{}"}, "d" * 40)
        flip(other.storage.hub_copy.path / "blobs" / etag_of(published_files()[FIRST]))
        with pytest.raises(ModelError, match=FIRST):
            machine.heal(source=other.storage.hub_cache)
        assert machine.contents() == {} and machine.storage.hub_copy.exists()

    def test_a_partial_copy_is_refused(self, machine: Machine, other: Machine) -> None:
        (other.storage.hub_copy.path / "snapshots" / ("d" * 40) / "tokenizer.json").unlink()
        with pytest.raises(ModelError, match=r"tokenizer\.json"):
            machine.heal(source=other.storage.hub_cache)
        assert machine.contents() == {}

    def test_another_revision_is_not_taken_for_the_wanted_one(
        self, machine: Machine, other: Machine
    ) -> None:
        machine.storage = replace(machine.storage, revision="e" * 40)
        with pytest.raises(ModelError, match=f"{'e' * 40} is wanted"):
            machine.heal(source=other.storage.hub_cache)

    def test_a_folder_without_any_record_is_refused_with_a_way_out(
        self, machine: Machine, tmp_path: Path
    ) -> None:
        plain = tmp_path / "plain"
        plain.mkdir()
        for name in WANTED:
            (plain / name).write_bytes(published_files()[name])
        with pytest.raises(ModelError, match=r"model\.path"):
            machine.heal(source=plain)
        with pytest.raises(ModelError, match=r"config\.json"):
            machine.heal(source=tmp_path / "nowhere")

    def test_a_reset_from_what_it_would_remove_is_refused(self, machine: Machine) -> None:
        machine.cache(published_files(), "d" * 40)
        with pytest.raises(ModelError, match="--reset"):
            machine.heal(reset=True, source=machine.storage.hub_cache)
        assert machine.storage.hub_copy.exists()

    def test_a_reset_from_elsewhere_clears_this_machine(
        self, machine: Machine, other: Machine
    ) -> None:
        machine.cache({"config.json": b"{}"}, "d" * 40)
        assert machine.heal(reset=True, source=other.storage.hub_cache).ok and machine.verified().ok
        assert not machine.storage.hub_copy.exists() and other.storage.hub_copy.exists()
