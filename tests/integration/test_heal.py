"""Whatever the network, the disk or a kill does: a verified model stands in its folder, or the old one untouched."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ocrd.errors import ModelError, ModelUnavailable
from ocrd.model import heal as heal_module
from ocrd.model import hub as hub_edge
from ocrd.model import staging as staging_module
from ocrd.model.hashes import HashMemory
from ocrd.model.heal import Healer
from ocrd.model.manifest import FILE as MANIFEST
from ocrd.model.manifest import read_manifest
from ocrd.model.places import Places
from ocrd.model.plan import Order
from ocrd.model.progress import Meter, Progress
from ocrd.model.verify import Report, Wanted, verify
from tests.hub import LocalHub, etag_of
from tests.published import REPO, SHARDS, WANTED, published_files

FIRST, SECOND = SHARDS


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHub]:
    monkeypatch.setattr(hub_edge, "BARREN_TRIES", 1)
    monkeypatch.setattr(hub_edge, "PAUSE", 0.0)
    hub = LocalHub()
    hub.publish(REPO, published_files())
    with hub.serving():
        yield hub


class Machine:
    """One user's folders: the store, the hub's cache, the cache of code."""

    def __init__(self, home: Path, revision: str) -> None:
        self.home = home
        self.places = Places(home / "models", REPO, revision, home / "hf/hub", home / "hf/modules")
        self.memory = HashMemory(home / "hashes.json")
        self.told: list[Progress] = []
        self.free = 10**12

    @property
    def folder(self) -> Path:
        return self.places.final.path

    def healer(self, reset: bool = False, source: Path | None = None) -> Healer:
        wanted = Wanted(REPO, self.places.revision if len(self.places.revision) == 40 else None)
        meter = Meter(self.told.append, pause=0)
        return Healer(Order(self.places, reset, source), wanted, self.memory, meter, lambda _: self.free, patience=0.2)

    def heal(self, reset: bool = False, source: Path | None = None) -> Report:
        return self.healer(reset, source).heal()

    def verified(self) -> Report:
        """With no memory: every byte is hashed."""
        return verify(self.folder, HashMemory(), Wanted(REPO), full=True)

    def contents(self) -> dict[str, bytes]:
        return {p.name: p.read_bytes() for p in self.folder.iterdir()} if self.folder.exists() else {}

    def cache(self, files: dict[str, bytes], commit: str, branch: str = "main") -> Path:
        """The files as huggingface_hub's cache holds them: snapshots of links to blobs named by hash."""
        folder = self.places.cached.path
        snapshot = folder / "snapshots" / commit
        snapshot.mkdir(parents=True)
        (folder / "blobs").mkdir(exist_ok=True)
        (folder / "refs").mkdir(exist_ok=True)
        (folder / "refs" / branch).write_text(commit)
        for name, data in files.items():
            if "/" not in name:
                (folder / "blobs" / etag_of(data)).write_bytes(data)
                (snapshot / name).symlink_to(f"../../blobs/{etag_of(data)}")
        return snapshot


@pytest.fixture
def machine(tmp_path: Path, hub: LocalHub) -> Machine:
    return Machine(tmp_path, hub.branches["main"])


def flip(path: Path) -> None:
    """Change one byte and nothing else that a look at the file could tell."""
    before, data = path.stat(), bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_missing_model_is_fetched_and_holds_just_what_is_wanted(machine: Machine, hub: LocalHub) -> None:
    report = machine.heal()
    assert report.ok and report.full and machine.verified().ok
    assert set(machine.contents()) == {*WANTED, MANIFEST}
    manifest = read_manifest(machine.folder)
    assert manifest is not None and manifest.revision == hub.branches["main"]
    assert sorted(p.name for p in machine.places.siblings.iterdir() if "lock" not in p.name) == [machine.folder.name]
    assert {p.phase for p in machine.told} == {"checking", "copying", "fetching"}
    total = sum(len(published_files()[name]) for name in WANTED)
    assert max(p.done for p in machine.told if p.phase == "fetching") == total


def test_a_whole_model_is_left_alone_and_the_hub_is_not_asked(machine: Machine, hub: LocalHub) -> None:
    machine.heal()
    before, hub.asked[:] = machine.folder.stat().st_ino, []
    assert machine.heal().ok
    assert hub.asked == [] and machine.folder.stat().st_ino == before


def test_only_what_is_broken_is_fetched(machine: Machine, hub: LocalHub) -> None:
    machine.heal()
    kept = (machine.folder / SECOND).stat().st_ino
    hub.asked.clear()
    flip(machine.folder / FIRST)
    (machine.folder / "tokenizer.json").unlink()
    assert machine.heal().ok and machine.verified().ok
    assert {a.path.rsplit("/", 1)[1] for a in hub.asked if a.method == "GET" and "/api/" not in a.path} == {
        FIRST, "tokenizer.json",
    }  # fmt: skip
    assert (machine.folder / SECOND).stat().st_ino == kept


@pytest.mark.parametrize("damage", [
    lambda m: (m.folder / MANIFEST).unlink(),
    lambda m: (m.folder / MANIFEST).write_text("{"),
    lambda m: (m.folder / MANIFEST).write_text(json.dumps({"repo": "other/model", "revision": None, "files": {}})),
])  # fmt: skip
def test_a_lost_manifest_costs_no_download(machine: Machine, hub: LocalHub, damage: Callable[[Machine], None]) -> None:
    machine.heal()
    hub.asked.clear()
    damage(machine)
    assert machine.heal().ok and machine.verified().ok
    assert hub.bytes_asked == 0


def test_a_download_cut_again_and_again_goes_on_where_it_was(machine: Machine, hub: LocalHub) -> None:
    hub.faults.cut = {FIRST: [100_000, 200_000]}
    assert machine.heal().ok and machine.verified().ok
    assert {a.range for a in hub.fetched(FIRST)} == {None, "bytes=100000-", "bytes=300000-"}


def test_what_was_fetched_before_a_failure_is_not_fetched_again(machine: Machine, hub: LocalHub) -> None:
    # The hub goes silent in the middle of the second shard, and comes back later.
    hub.faults.stall = {SECOND: [70_000, *[0] * 20]}
    with pytest.raises(ModelUnavailable):
        machine.heal()
    assert machine.contents() == {}
    hub.faults.stall, hub.asked[:] = {}, []
    assert machine.heal().ok and machine.verified().ok
    assert hub.fetched(FIRST) == []
    assert {a.range for a in hub.fetched(SECOND)} == {"bytes=70000-"}
    fetched = [p for p in machine.told if p.phase == "fetching"]
    assert fetched[-1].done == fetched[-1].total


def test_a_file_that_changes_in_mid_download_is_never_half_old_half_new(machine: Machine, hub: LocalHub) -> None:
    files = hub.repos[REPO][machine.places.revision]
    other = bytes(reversed(files[FIRST]))

    def change() -> None:
        files[FIRST] = other  # the very same commit: only a broken hub or proxy does that

    hub.faults.cut, hub.faults.on_cut = {FIRST: [100_000]}, change
    with pytest.raises(ModelUnavailable, match=FIRST):
        machine.heal()
    assert machine.contents() == {}
    files[FIRST] = published_files()[FIRST]
    assert machine.heal().ok and machine.verified().ok


@pytest.mark.parametrize("moment", ["on_cut", "on_resolved"])
def test_a_branch_that_moves_meanwhile_ends_at_the_commit_that_it_began_with(
    machine: Machine, hub: LocalHub, moment: str
) -> None:
    first = machine.places.revision
    machine.places = replace(machine.places, revision="main")
    hub.faults.cut = {FIRST: [100_000]}

    def move() -> None:
        hub.publish(REPO, published_files() | {"config.json": b"{}"}, "later")

    setattr(hub.faults, moment, move)
    assert machine.heal().ok and machine.verified().ok
    manifest = read_manifest(machine.folder)
    assert manifest is not None and manifest.revision == first != hub.branches["main"]


def test_a_server_without_ranges_begins_anew_and_ends_right(machine: Machine, hub: LocalHub) -> None:
    hub.faults.no_ranges = True
    hub.faults.cut = {FIRST: [100_000]}
    assert machine.heal().ok and machine.verified().ok
    fetched = [p for p in machine.told if p.phase == "fetching"]
    assert fetched[-1].done == fetched[-1].total
    assert len([a for a in hub.fetched(FIRST) if "/cdn/" in a.path]) == 2  # not once more because it did not verify


def test_a_byte_flipped_on_the_way_is_found_and_fetched_again(machine: Machine, hub: LocalHub) -> None:
    hub.faults.flip = {FIRST: 1, "config.json": 1}
    assert machine.heal().ok and machine.verified().ok
    assert len(hub.fetched(FIRST)) == 4  # twice, each a redirect and what is behind it


def test_when_refetching_does_not_help_every_copy_is_removed_and_all_fetched(machine: Machine, hub: LocalHub) -> None:
    machine.heal()
    machine.cache(published_files(), machine.places.revision)
    flip(machine.places.cached.path / "blobs" / etag_of(published_files()[FIRST]))
    others = [
        machine.places.hub_cache / "models--other--model",
        machine.places.modules_cache / "transformers_modules/x",
    ]
    for place in (*(m.path for m in machine.places.modules), *others):
        place.mkdir(parents=True)
    flip(machine.folder / FIRST)
    hub.faults.flip = {FIRST: 2}
    assert machine.heal().ok and machine.verified().ok
    assert not machine.places.cached.exists()
    assert not any(place.exists() for place in machine.places.modules)
    assert all(other.is_dir() for other in others)


FOREVER = 10**6


@pytest.mark.parametrize(("fault", "kind", "words"), [
    (lambda f: f.flip.update({FIRST: FOREVER}), ModelError, FIRST),
    (lambda f: f.status.update({"/api/": [429] * 50}), ModelUnavailable, "429"),
    (lambda f: f.status.update({"/api/": [500] * 50}), ModelUnavailable, "500"),
    (lambda f: f.status.update({"resolve/": [503] * 50}), ModelUnavailable, "503"),
    (lambda f: f.status.update({"cdn/": [500] * 50}), ModelUnavailable, "500"),
    (lambda f: f.status.update({"cdn/": [403] * 50}), ModelUnavailable, "403"),
    (lambda f: f.stall.update({FIRST: [1000, *[0] * 50]}), ModelUnavailable, FIRST),
    (lambda f: f.lost.add("tokenizer.json"), ModelUnavailable, "tokenizer.json"),
    (lambda f: setattr(f, "commit", "b" * 40), ModelUnavailable, "b" * 40),
    (lambda f: f.offered.update({FIRST: "c" * 64}), ModelUnavailable, FIRST),
    (lambda f: setattr(f, "answer", b"<html>please log in</html>"), ModelUnavailable, "login page"),
])  # fmt: skip
@pytest.mark.parametrize("before", ["nothing", "a broken model"])
def test_a_fault_that_lasts_leaves_the_old_untouched_and_says_why(
    machine: Machine, hub: LocalHub, fault: Callable[[object], None], kind: type[Exception], words: str, before: str
) -> None:
    if before != "nothing":
        machine.heal()
        for name in (FIRST, "tokenizer.json"):
            flip(machine.folder / name)
    old = machine.contents()
    fault(hub.faults)
    with pytest.raises(kind, match=words) as raised:
        machine.heal()
    assert machine.contents() == old
    assert isinstance(raised.value, ModelUnavailable) == (kind is ModelUnavailable)
    assert "\n" not in str(raised.value)
    # And when the fault has passed, nothing that it left behind stands in the way.
    hub.faults.__init__()  # type: ignore[misc]  # all faults at once are mended
    assert machine.heal().ok and machine.verified().ok


def test_a_busy_hub_that_recovers_is_only_slow(machine: Machine, hub: LocalHub) -> None:
    hub.faults.status = {"cdn/": [429]}
    assert machine.heal().ok


def test_what_will_not_pass_says_what_to_mend(machine: Machine, hub: LocalHub) -> None:
    for places, words in (
        (replace(machine.places, repo="no/such"), "model.repo"),
        (replace(machine.places, revision="a" * 40), "model.revision"),
    ):
        machine.places = places
        with pytest.raises(ModelError, match=words) as raised:
            machine.heal()
        assert not isinstance(raised.value, ModelUnavailable)


def test_a_gated_repository_says_what_to_do(machine: Machine, hub: LocalHub) -> None:
    hub.gated.add(REPO)
    with pytest.raises(ModelError, match="HF_TOKEN"):
        machine.heal()


def test_a_token_opens_a_private_repository_and_never_follows_to_another_host(
    machine: Machine, hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.token = "hf_secret"
    with pytest.raises(ModelError, match="private"):
        machine.heal()
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.asked.clear()
    assert machine.heal().ok
    assert all(a.authorization is None for a in hub.asked if a.host.startswith("localhost"))
    assert all(a.authorization == "Bearer hf_secret" for a in hub.asked if not a.host.startswith("localhost"))


def test_no_hub_at_all_is_said_in_one_sentence(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "a" * 40)
    with pytest.raises(ModelUnavailable, match="is there a network"):
        machine.heal()


def test_a_repository_that_is_no_model_of_ours_is_refused_after_one_download(machine: Machine, hub: LocalHub) -> None:
    files = published_files() | {"config.json": b'{"model_type": "llama", "architectures": ["Llama"]}'}
    machine.places = replace(machine.places, revision=hub.publish(REPO, files, "other"))
    with pytest.raises(ModelError, match=r"model\.repo"):
        machine.heal()
    assert len([a for a in hub.fetched(FIRST) if "cdn" in a.path]) == 1 and machine.contents() == {}


def test_another_revision_shares_the_files_that_did_not_change(machine: Machine, hub: LocalHub) -> None:
    machine.heal()
    first = machine.folder
    tokenizer = json.dumps(json.loads(published_files()["tokenizer.json"]), indent=1).encode()
    machine.places = replace(
        machine.places, revision=hub.publish(REPO, published_files() | {"tokenizer.json": tokenizer}, "second")
    )
    hub.asked.clear()
    assert machine.heal().ok and machine.verified().ok
    assert hub.fetched(FIRST) == [] and len(hub.fetched("tokenizer.json")) == 1
    assert (machine.folder / FIRST).samefile(first / FIRST)
    assert (first / "tokenizer.json").read_bytes() == published_files()["tokenizer.json"]


def test_a_branch_is_followed_to_its_commit(machine: Machine, hub: LocalHub) -> None:
    machine.places = replace(machine.places, revision="main")
    assert machine.heal().ok
    manifest = read_manifest(machine.folder)
    assert manifest is not None and manifest.revision == hub.branches["main"]


def test_a_good_copy_in_the_hubs_cache_is_used_in_place_of_a_download(machine: Machine, hub: LocalHub) -> None:
    machine.cache(published_files(), machine.places.revision)
    assert machine.heal().ok and machine.verified().ok
    assert hub.bytes_asked == 0
    assert machine.places.cached.exists()


def test_a_bad_copy_in_the_cache_is_passed_over(machine: Machine, hub: LocalHub) -> None:
    machine.cache(published_files(), machine.places.revision)
    flip(machine.places.cached.path / "blobs" / etag_of(published_files()[FIRST]))
    assert machine.heal().ok and machine.verified().ok
    assert {a.path.rsplit("/", 1)[1] for a in hub.asked if a.method == "GET" and "/api/" not in a.path} == {FIRST}


@pytest.mark.parametrize("revision", ["the commit", "main"])
def test_without_a_network_the_cache_is_enough(tmp_path: Path, revision: str) -> None:
    commit = "d" * 40
    machine = Machine(tmp_path, commit if revision == "the commit" else revision)
    machine.cache(published_files(), commit)
    assert machine.heal().ok and machine.verified().ok


def test_without_a_network_a_partial_cache_says_that_the_hub_is_needed(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "d" * 40)
    machine.cache({n: d for n, d in published_files().items() if n != SECOND}, "d" * 40)
    with pytest.raises(ModelUnavailable, match="is there a network"):
        machine.heal()
    assert machine.contents() == {} and machine.places.cached.exists()


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

    @pytest.mark.parametrize("where", ["snapshot", "repository", "hub", "home", "managed", "local dir"])
    def test_every_kind_of_copy_will_do(self, machine: Machine, other: Machine, where: str, tmp_path: Path) -> None:
        snapshot = other.places.cached.path / "snapshots" / ("d" * 40)
        if where == "managed":
            other.heal()
        local = tmp_path / "local"
        records = local / ".cache/huggingface/download"
        records.mkdir(parents=True)
        for name in WANTED:
            shutil.copyfile(snapshot / name, local / name)
            (records / f"{name}.metadata").write_text(f"{'d' * 40}\n{(snapshot / name).readlink().name}\n1.0\n")
        path = {
            "snapshot": snapshot, "repository": other.places.cached.path, "hub": other.places.hub_cache,
            "home": other.places.hub_cache.parent, "managed": other.folder, "local dir": local,
        }[where]  # fmt: skip
        assert machine.heal(source=path).ok and machine.verified().ok
        for name in WANTED:  # a copy, for its owner may edit or unmount his
            assert (machine.folder / name).stat().st_nlink == 1

    def test_it_mends_only_what_is_broken(self, machine: Machine, other: Machine) -> None:
        machine.heal(source=other.places.hub_cache)
        kept = (machine.folder / SECOND).stat().st_ino
        flip(machine.folder / FIRST)
        assert machine.heal(source=other.places.hub_cache).ok and machine.verified().ok
        assert (machine.folder / SECOND).stat().st_ino == kept

    def test_a_broken_copy_is_refused_and_removes_nothing(self, machine: Machine, other: Machine) -> None:
        machine.cache({"config.json": b"{}"}, "d" * 40)
        flip(other.places.cached.path / "blobs" / etag_of(published_files()[FIRST]))
        with pytest.raises(ModelError, match=FIRST):
            machine.heal(source=other.places.hub_cache)
        assert machine.contents() == {} and machine.places.cached.exists()

    def test_a_partial_copy_is_refused(self, machine: Machine, other: Machine) -> None:
        (other.places.cached.path / "snapshots" / ("d" * 40) / "tokenizer.json").unlink()
        with pytest.raises(ModelError, match=r"tokenizer\.json"):
            machine.heal(source=other.places.hub_cache)
        assert machine.contents() == {}

    def test_another_revision_is_not_taken_for_the_wanted_one(self, machine: Machine, other: Machine) -> None:
        machine.places = replace(machine.places, revision="e" * 40)
        with pytest.raises(ModelError, match=f"{'e' * 40} is wanted"):
            machine.heal(source=other.places.hub_cache)

    def test_a_folder_without_any_record_is_refused_with_a_way_out(self, machine: Machine, tmp_path: Path) -> None:
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
            machine.heal(reset=True, source=machine.places.hub_cache)
        assert machine.places.cached.exists()

    def test_a_reset_from_elsewhere_clears_this_machine(self, machine: Machine, other: Machine) -> None:
        machine.cache({"config.json": b"{}"}, "d" * 40)
        assert machine.heal(reset=True, source=other.places.hub_cache).ok and machine.verified().ok
        assert not machine.places.cached.exists() and other.places.cached.exists()


def test_a_reset_fetches_everything_anew(machine: Machine, hub: LocalHub) -> None:
    machine.heal()
    machine.cache(published_files(), machine.places.revision)
    old = (machine.folder / SECOND).stat().st_ino
    hub.asked.clear()
    assert machine.heal(reset=True).ok and machine.verified().ok
    assert all(hub.fetched(name) for name in WANTED)
    assert (machine.folder / SECOND).stat().st_ino != old and not machine.places.cached.exists()


def test_a_reset_without_a_network_removes_nothing(machine: Machine, hub: LocalHub) -> None:
    machine.heal()
    machine.cache(published_files(), machine.places.revision)
    hub.faults.status = {"/api/": [503] * 9}
    with pytest.raises(ModelUnavailable):
        machine.heal(reset=True)
    assert machine.verified().ok and machine.places.cached.exists()


def test_too_little_room_is_said_in_gigabytes_before_anything_is_touched(machine: Machine, hub: LocalHub) -> None:
    machine.free = 1_000_000
    with pytest.raises(ModelUnavailable, match=r"\d\.\d\d GB are missing"):
        machine.heal()
    assert hub.bytes_asked == 0 and not machine.places.staging.exists()


def test_a_preview_tells_and_touches_nothing(machine: Machine, hub: LocalHub) -> None:
    machine.heal()
    assert machine.healer().preview() is None
    flip(machine.folder / FIRST)
    old = machine.contents()
    hub.asked.clear()
    plan = machine.healer().preview()
    assert plan is not None and plan.how(FIRST) == "fetch" and plan.how(SECOND) == "link" and plan.removals == ()
    assert plan.bytes_by("fetch") == len(published_files()[FIRST])
    reset = machine.healer(reset=True).preview()
    assert reset is not None and reset.removals == machine.places.reset and reset.how(SECOND) == "fetch"
    assert machine.contents() == old and hub.bytes_asked == 0 and not machine.places.staging.exists()


def test_a_file_that_is_not_the_models_is_kept(machine: Machine) -> None:
    machine.heal()
    (machine.folder / "notes.json").write_text("mine")
    (machine.folder / "mine").mkdir()
    (machine.folder / "mine/too").write_text("mine too")
    (machine.folder / FIRST).unlink()
    assert machine.heal().ok
    kept = machine.places.kept.path
    assert (kept / "notes.json").read_text() == "mine" and (kept / "mine/too").read_text() == "mine too"
    (machine.folder / "notes.json").write_text("again")
    (machine.folder / FIRST).unlink()
    machine.heal()
    assert sorted(p.name for p in kept.iterdir()) == ["mine", "notes.json", "notes.json-2"]


def test_two_healers_never_work_at_once(machine: Machine, hub: LocalHub) -> None:
    from ocrd.model.staging import sole_healer

    with sole_healer(machine.places, 1), pytest.raises(ModelUnavailable, match="another ocrd"):
        machine.heal()
    assert hub.asked == []
    assert machine.heal().ok


@pytest.mark.parametrize("moment", ["between the renames", "before the old is removed"])
def test_a_swap_that_was_interrupted_is_finished_or_undone(machine: Machine, hub: LocalHub, moment: str) -> None:
    machine.heal()
    machine.folder.rename(machine.places.old.path)
    if moment != "between the renames":
        shutil.copytree(machine.places.old.path, machine.folder)
    hub.asked.clear()
    assert machine.heal().ok and machine.verified().ok
    assert hub.bytes_asked == 0 and not machine.places.old.exists()


def test_a_copy_that_went_wrong_is_found(machine: Machine, hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no second name can be given (another disk) a good file is copied, and the copy is hashed for itself."""
    machine.heal()
    (machine.folder / "tokenizer.json").unlink()

    def no_links(*_: object, **__: object) -> None:
        raise OSError(errno.EXDEV, "another disk")

    real = staging_module.link_or_copy

    def spoil(source: Path, target: Path, link: bool, on_bytes: Callable[[int], None]) -> None:
        real(source, target, link, on_bytes)
        if target.name == FIRST and target.stat().st_nlink == 1:
            flip(target)

    monkeypatch.setattr(os, "link", no_links)
    monkeypatch.setattr(heal_module, "link_or_copy", spoil)
    assert machine.heal().ok and machine.verified().ok
    assert hub.fetched(SECOND) and len(hub.fetched(FIRST)) == 4  # each a redirect and a file; the first one twice


def test_parts_of_another_version_are_not_continued(machine: Machine, hub: LocalHub) -> None:
    staging = machine.places.staging.path
    staging.mkdir(parents=True)
    (staging / f"{FIRST}.0123456789abcdef.part").write_bytes(b"x" * 1000)
    (staging / "leftover").mkdir()
    (staging / FIRST).write_bytes(b"y" * len(published_files()[FIRST]))
    assert machine.heal().ok and machine.verified().ok
    assert {p.name for p in machine.folder.iterdir()} == {*WANTED, MANIFEST}
    assert hub.fetched(FIRST)[0].range is None


def test_a_part_that_is_longer_than_its_file_begins_anew(machine: Machine, hub: LocalHub) -> None:
    staging = machine.places.staging.path
    staging.mkdir(parents=True)
    data = published_files()[FIRST]
    (staging / f"{FIRST}.{etag_of(data)[:16]}.part").write_bytes(b"x" * (len(data) + 1))
    assert machine.heal().ok and machine.verified().ok


def test_what_healing_hashed_is_remembered(machine: Machine) -> None:
    machine.heal()
    memory = HashMemory(machine.home / "hashes.json")
    hashed: list[int] = []
    assert verify(machine.folder, memory, Wanted(REPO), on_bytes=hashed.append).ok
    assert hashed == []


def test_a_disk_that_refuses_is_said_and_leaves_the_old(machine: Machine, hub: LocalHub) -> None:
    machine.heal()
    flip(machine.folder / FIRST)
    old = machine.contents()
    machine.places.staging.path.write_text("a file where the staging folder should be")
    with pytest.raises(ModelUnavailable, match="interrupted"):
        machine.heal()
    assert machine.contents() == old


@pytest.mark.parametrize("damage", ["a flipped byte", "no model", "a stray file and a lost one"])
def test_a_crash_at_any_change_of_the_disk_is_made_good_by_the_next_healing(
    machine: Machine, hub: LocalHub, damage: str
) -> None:
    """Not at random moments but at every one: before each rename, link, removal, new folder and opened file."""
    whole = machine.home / "whole"
    machine.heal()
    shutil.copytree(machine.folder, whole)
    argv = [sys.executable, "-m", "tests.crash", str(machine.home), REPO, machine.places.revision]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as crasher:
        assert crasher.stdin and crasher.stdout
        for fatal in range(1, 200):
            shutil.rmtree(machine.folder, ignore_errors=True)
            if damage != "no model":
                shutil.copytree(whole, machine.folder)
                if damage == "a flipped byte":
                    flip(machine.folder / FIRST)
                else:
                    (machine.folder / "notes.txt").write_text("mine")
                    (machine.folder / SECOND).unlink()
            old = machine.contents()
            print(fatal, file=crasher.stdin, flush=True)
            said = crasher.stdout.readline().strip()
            assert said in ("died", "done"), f"{said} at change {fatal}"
            now = machine.contents()
            ready = now == old or machine.verified().ok
            assert ready or (not now and machine.places.old.exists()), f"half a model after change {fatal}"
            notes = [p for p in (machine.folder, machine.places.old.path, machine.places.kept.path) if p.exists()]
            if damage.startswith("a stray"):
                assert any((p / "notes.txt").exists() for p in notes), f"a user's file is lost after change {fatal}"
            assert machine.heal().ok and machine.verified().ok, f"not healed after change {fatal}"
            if said == "done":
                break
        crasher.stdin.close()
    assert said == "done" and fatal > 10
    left = {p.name for p in machine.places.siblings.iterdir()}
    assert left - {machine.folder.name, machine.places.lock.name} <= {machine.places.kept.path.name}
