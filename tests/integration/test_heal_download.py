"""Whatever the network does.

A verified model stands in its folder, or the old one untouched and a clear sentence.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ocrd.errors import ModelError, ModelUnavailable
from ocrd.model.manifest import MANIFEST_FILE, read_manifest
from tests.hub import LocalHub, etag_of
from tests.machine import Machine, flip
from tests.published import REPO, SHARDS, WANTED, published_files

FIRST, SECOND = SHARDS


def test_a_missing_model_is_fetched_and_holds_just_what_is_wanted(
    machine: Machine, hub: LocalHub
) -> None:
    report = machine.heal()
    assert report.ok and report.full and machine.verified().ok
    assert set(machine.contents()) == {*WANTED, MANIFEST_FILE}
    manifest = read_manifest(machine.folder)
    assert manifest is not None and manifest.revision == hub.branches["main"]
    assert sorted(
        p.name for p in machine.storage.repo_folder.iterdir() if "lock" not in p.name
    ) == [machine.folder.name]
    assert {p.phase for p in machine.reports} == {"checking", "copying", "fetching"}
    total = sum(len(published_files()[name]) for name in WANTED)
    assert max(p.done_bytes for p in machine.reports if p.phase == "fetching") == total


def test_a_whole_model_is_left_alone_and_the_hub_is_not_asked(
    machine: Machine, hub: LocalHub
) -> None:
    machine.heal()
    before = machine.folder.stat().st_ino
    hub.asked[:] = []
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
    lambda m: (m.folder / MANIFEST_FILE).unlink(),
    lambda m: (m.folder / MANIFEST_FILE).write_text("{"),
    lambda m: (m.folder / MANIFEST_FILE).write_text(json.dumps({"repo": "other/model", "revision": None, "files": {}})),
])  # fmt: skip
def test_a_lost_manifest_costs_no_download(
    machine: Machine, hub: LocalHub, damage: Callable[[Machine], None]
) -> None:
    machine.heal()
    hub.asked.clear()
    damage(machine)
    assert machine.heal().ok and machine.verified().ok
    assert hub.bytes_asked == 0


def test_a_download_cut_again_and_again_goes_on_where_it_was(
    machine: Machine, hub: LocalHub
) -> None:
    hub.faults.cut = {FIRST: [100_000, 200_000]}
    assert machine.heal().ok and machine.verified().ok
    assert {a.range for a in hub.fetched(FIRST)} == {None, "bytes=100000-", "bytes=300000-"}


def test_what_was_fetched_before_a_failure_is_not_fetched_again(
    machine: Machine, hub: LocalHub
) -> None:
    # The hub goes silent in the middle of the second shard, and comes back later.
    hub.faults.stall = {SECOND: [70_000, *[0] * 20]}
    with pytest.raises(ModelUnavailable):
        machine.heal()
    assert machine.contents() == {}
    hub.faults.stall = {}
    hub.asked[:] = []
    assert machine.heal().ok and machine.verified().ok
    assert hub.fetched(FIRST) == []
    assert {a.range for a in hub.fetched(SECOND)} == {"bytes=70000-"}
    fetched = [p for p in machine.reports if p.phase == "fetching"]
    assert fetched[-1].done_bytes == fetched[-1].total_bytes


def test_a_login_page_in_mid_download_costs_nothing_that_was_fetched(
    machine: Machine, hub: LocalHub
) -> None:
    def log_in() -> None:
        hub.faults.answer = b"<html>please log in</html>"

    hub.faults.cut = {FIRST: [100_000]}
    hub.faults.on_cut = log_in
    with pytest.raises(ModelUnavailable, match="26 bytes were offered"):
        machine.heal()
    hub.faults.answer = None
    hub.asked[:] = []
    assert machine.heal().ok and machine.verified().ok
    assert {a.range for a in hub.fetched(FIRST)} == {"bytes=100000-"}


def test_a_hub_that_sends_in_circles_is_said(machine: Machine, hub: LocalHub) -> None:
    hub.faults.status = {"/api/": [302] * 99}
    with pytest.raises(ModelUnavailable, match="cannot be reached"):
        machine.heal()


def test_a_file_that_changes_in_mid_download_is_never_half_old_half_new(
    machine: Machine, hub: LocalHub
) -> None:
    files = hub.repos[REPO][machine.storage.revision]
    other = bytes(reversed(files[FIRST]))

    def change() -> None:
        files[FIRST] = other  # the very same commit: only a broken hub or proxy does that

    hub.faults.cut = {FIRST: [100_000]}
    hub.faults.on_cut = change
    with pytest.raises(ModelUnavailable, match=FIRST):
        machine.heal()
    assert machine.contents() == {}
    files[FIRST] = published_files()[FIRST]
    assert machine.heal().ok and machine.verified().ok


@pytest.mark.parametrize("moment", ["on_cut", "on_resolved"])
def test_a_branch_that_moves_meanwhile_ends_at_the_commit_that_it_began_with(
    machine: Machine, hub: LocalHub, moment: str
) -> None:
    first = machine.storage.revision
    machine.storage = replace(machine.storage, revision="main")
    hub.faults.cut = {FIRST: [100_000]}

    def move() -> None:
        hub.publish(REPO, published_files() | {"config.json": b"{}"}, seed="later")

    setattr(hub.faults, moment, move)
    assert machine.heal().ok and machine.verified().ok
    manifest = read_manifest(machine.folder)
    assert manifest is not None and manifest.revision == first != hub.branches["main"]


def test_a_server_without_ranges_begins_anew_and_ends_right(
    machine: Machine, hub: LocalHub
) -> None:
    hub.faults.no_ranges = True
    hub.faults.cut = {FIRST: [100_000]}
    assert machine.heal().ok and machine.verified().ok
    fetched = [p for p in machine.reports if p.phase == "fetching"]
    assert fetched[-1].done_bytes == fetched[-1].total_bytes
    assert (
        len([a for a in hub.fetched(FIRST) if "/cdn/" in a.path]) == 2
    )  # not once more because it did not verify


def test_a_byte_flipped_on_the_way_is_found_and_fetched_again(
    machine: Machine, hub: LocalHub
) -> None:
    hub.faults.flip = {FIRST: 1, "config.json": 1}
    assert machine.heal().ok and machine.verified().ok
    assert len(hub.fetched(FIRST)) == 4  # twice, each a redirect and what is behind it


def test_when_refetching_does_not_help_every_copy_is_removed_and_all_fetched(
    machine: Machine, hub: LocalHub
) -> None:
    machine.heal()
    machine.cache(published_files(), machine.storage.revision)
    flip(machine.storage.hub_copy.path / "blobs" / etag_of(published_files()[FIRST]))
    others = [
        machine.storage.hub_cache / "models--other--model",
        machine.storage.modules_cache / "transformers_modules/x",
    ]
    for place in (*(m.path for m in machine.storage.code_copies), *others):
        place.mkdir(parents=True)
    flip(machine.folder / FIRST)
    hub.faults.flip = {FIRST: 2}
    assert machine.heal().ok and machine.verified().ok
    assert not machine.storage.hub_copy.exists()
    assert not any(place.exists() for place in machine.storage.code_copies)
    assert all(other.is_dir() for other in others)


@pytest.mark.parametrize("field", [
    {"size": -1}, {"size": "many"}, {"size": 10**15}, {"oid": "../../../../tmp/out"}, {"oid": None}, {"size": True},
    {"size": None}, {"size": 10**400}, {"oid": 7}, {"oid": "\0" * 40},
])  # fmt: skip
def test_a_listing_that_no_hub_can_mean_is_refused(
    machine: Machine, hub: LocalHub, field: dict[str, object]
) -> None:
    hub.faults.listed = field
    with pytest.raises(ModelUnavailable, match="not a hub's"):
        machine.heal()
    assert hub.bytes_asked == 0


def test_an_answer_that_never_ends_is_cut_off(machine: Machine, hub: LocalHub) -> None:
    hub.faults.surplus = {FIRST: 50}
    with pytest.raises(ModelUnavailable, match="55403392 bytes were offered"):
        machine.heal()
    hub.faults.surplus = {}
    assert machine.heal().ok and machine.verified().ok


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
    machine: Machine,
    hub: LocalHub,
    fault: Callable[[object], None],
    kind: type[Exception],
    words: str,
    before: str,
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
    for storage, words in (
        (replace(machine.storage, repo="no/such"), "model.repo"),
        (replace(machine.storage, revision="a" * 40), "model.revision"),
    ):
        machine.storage = storage
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
    assert all(
        a.authorization == "Bearer hf_secret"
        for a in hub.asked
        if not a.host.startswith("localhost")
    )


def test_no_hub_at_all_is_said_in_one_sentence(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "a" * 40)
    with pytest.raises(ModelUnavailable, match="is there a network"):
        machine.heal()


def test_a_repository_that_is_no_model_of_ours_is_refused_after_one_download(
    machine: Machine, hub: LocalHub
) -> None:
    files = published_files() | {
        "config.json": b'{"model_type": "llama", "architectures": ["Llama"]}'
    }
    machine.storage = replace(machine.storage, revision=hub.publish(REPO, files, seed="other"))
    with pytest.raises(ModelError, match=r"model\.repo"):
        machine.heal()
    assert len([a for a in hub.fetched(FIRST) if "cdn" in a.path]) == 1 and machine.contents() == {}
