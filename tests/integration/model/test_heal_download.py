"""Downloads are resumed, and only verified files become the model."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from ocrd.errors import ModelUnavailable
from ocrd.model.manifest import MANIFEST_FILE, read_manifest
from tests.hub import LocalHub
from tests.machine import Machine, flip_byte
from tests.published import MODEL_FILES, REPO, SHARDS, model_bytes, published_files

FIRST, SECOND = SHARDS


def test_a_missing_model_is_fetched_and_contains_only_model_files(
    machine: Machine, hub: LocalHub
) -> None:
    report = machine.heal()
    assert report.ok and report.full and machine.verify().ok
    assert set(machine.contents()) == {*MODEL_FILES, MANIFEST_FILE}
    manifest = read_manifest(machine.folder)
    assert manifest is not None and manifest.revision == hub.branches["main"]
    left = {path.name for path in machine.storage.repo_folder.iterdir()}
    assert left - {machine.storage.lock_file.name} == {machine.folder.name}
    assert {report.phase for report in machine.reports} == {"checking", "copying", "fetching"}
    fetched = [report.done_bytes for report in machine.reports if report.phase == "fetching"]
    assert max(fetched) == model_bytes()


def test_a_complete_model_is_not_changed_and_the_hub_is_not_asked(
    machine: Machine, hub: LocalHub
) -> None:
    machine.heal()
    before = machine.folder.stat().st_ino
    hub.requests.clear()
    assert machine.heal().ok
    assert hub.requests == [] and machine.folder.stat().st_ino == before


def test_only_what_is_broken_is_fetched(machine: Machine, hub: LocalHub) -> None:
    machine.heal()
    kept = (machine.folder / SECOND).stat().st_ino
    hub.requests.clear()
    flip_byte(machine.folder / FIRST)
    (machine.folder / "tokenizer.json").unlink()
    assert machine.heal().ok and machine.verify().ok
    assert {request.file_name for request in hub.downloads()} == {FIRST, "tokenizer.json"}
    assert (machine.folder / SECOND).stat().st_ino == kept


OTHER_MANIFEST = json.dumps({"repo": "other/model", "revision": None, "files": {}})


@pytest.mark.parametrize("content", [None, "{", OTHER_MANIFEST])
def test_a_lost_manifest_causes_no_download(
    machine: Machine, hub: LocalHub, content: str | None
) -> None:
    machine.heal()
    hub.requests.clear()
    manifest = machine.folder / MANIFEST_FILE
    if content is None:
        manifest.unlink()
    else:
        manifest.write_text(content)
    assert machine.heal().ok and machine.verify().ok
    assert hub.downloads() == []


def test_a_download_that_is_cut_several_times_is_resumed(machine: Machine, hub: LocalHub) -> None:
    hub.faults.cut = {FIRST: [100_000, 200_000]}
    assert machine.heal().ok and machine.verify().ok
    assert {request.range for request in hub.downloads_of(FIRST)} == {
        None,
        "bytes=100000-",
        "bytes=300000-",
    }


def test_files_that_were_fetched_before_a_failure_are_not_fetched_again(
    machine: Machine, hub: LocalHub
) -> None:
    # The hub stalls in the middle of the second shard, and works again later.
    hub.faults.stall = {SECOND: [70_000, *[0] * 20]}
    with pytest.raises(ModelUnavailable):
        machine.heal()
    assert machine.contents() == {}
    hub.faults.stall = {}
    hub.requests.clear()
    assert machine.heal().ok and machine.verify().ok
    assert hub.downloads_of(FIRST) == []
    assert {request.range for request in hub.downloads_of(SECOND)} == {"bytes=70000-"}
    fetched = [report for report in machine.reports if report.phase == "fetching"]
    assert fetched[-1].done_bytes == fetched[-1].total_bytes


def test_a_login_page_during_a_download_loses_no_fetched_bytes(
    machine: Machine, hub: LocalHub
) -> None:
    def show_login_page() -> None:
        hub.faults.answer = b"<html>please log in</html>"

    hub.faults.cut = {FIRST: [100_000]}
    hub.faults.on_cut = show_login_page
    with pytest.raises(ModelUnavailable, match="26 bytes were offered"):
        machine.heal()
    hub.faults.answer = None
    hub.requests.clear()
    assert machine.heal().ok and machine.verify().ok
    assert {request.range for request in hub.downloads_of(FIRST)} == {"bytes=100000-"}


def test_a_file_that_changes_during_its_download_is_never_half_old_half_new(
    machine: Machine, hub: LocalHub
) -> None:
    files = hub.repos[REPO][machine.storage.revision]
    other = bytes(reversed(files[FIRST]))

    def change() -> None:
        files[FIRST] = other  # the same commit: only a broken hub or proxy does that

    hub.faults.cut = {FIRST: [100_000]}
    hub.faults.on_cut = change
    with pytest.raises(ModelUnavailable, match=FIRST):
        machine.heal()
    assert machine.contents() == {}
    files[FIRST] = published_files()[FIRST]
    assert machine.heal().ok and machine.verify().ok


@pytest.mark.parametrize("moment", ["on_cut", "on_resolved"])
def test_a_branch_that_moves_during_a_download_gives_the_commit_from_its_start(
    machine: Machine, hub: LocalHub, moment: str
) -> None:
    first = machine.storage.revision
    machine.storage = replace(machine.storage, revision="main")
    hub.faults.cut = {FIRST: [100_000]}

    def move() -> None:
        hub.publish(REPO, published_files() | {"config.json": b"{}"}, seed="later")

    setattr(hub.faults, moment, move)
    assert machine.heal().ok and machine.verify().ok
    manifest = read_manifest(machine.folder)
    assert manifest is not None and manifest.revision == first != hub.branches["main"]


def test_without_ranges_a_cut_download_starts_again(machine: Machine, hub: LocalHub) -> None:
    hub.faults.no_ranges = True
    hub.faults.cut = {FIRST: [100_000]}
    assert machine.heal().ok and machine.verify().ok
    fetched = [report for report in machine.reports if report.phase == "fetching"]
    assert fetched[-1].done_bytes == fetched[-1].total_bytes
    # Not a third time because it did not verify.
    assert len([request for request in hub.downloads_of(FIRST) if "/cdn/" in request.path]) == 2


def test_a_byte_that_the_network_flips_is_found_and_the_file_fetched_again(
    machine: Machine, hub: LocalHub
) -> None:
    hub.faults.flip = {FIRST: 1, "config.json": 1}
    assert machine.heal().ok and machine.verify().ok
    assert len(hub.downloads_of(FIRST)) == 4  # two downloads, each with a redirect
