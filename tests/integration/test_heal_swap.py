"""The old model stays until the new one is good, whatever is killed and whatever else lies in
its folder.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ocrd.errors import ModelError, ModelUnavailable
from ocrd.model import assemble as assemble_module
from ocrd.model import staging as staging_module
from ocrd.model.expected import ExpectedModel
from ocrd.model.hashes import HashCache
from ocrd.model.manifest import MANIFEST_FILE
from ocrd.model.verify import verify
from tests.hub import LocalHub, etag_of
from tests.machine import Machine, flip, room_for
from tests.published import REPO, SHARDS, WANTED, published_files

FIRST, SECOND = SHARDS


def test_a_reset_fetches_everything_anew(machine: Machine, hub: LocalHub) -> None:
    machine.heal()
    machine.cache(published_files(), machine.storage.revision)
    old = (machine.folder / SECOND).stat().st_ino
    hub.asked.clear()
    assert machine.heal(reset=True).ok and machine.verified().ok
    assert all(hub.fetched(name) for name in WANTED)
    assert (machine.folder / SECOND).stat().st_ino != old and not machine.storage.hub_copy.exists()


def test_a_reset_without_a_network_removes_nothing(machine: Machine, hub: LocalHub) -> None:
    machine.heal()
    machine.cache(published_files(), machine.storage.revision)
    hub.faults.status = {"/api/": [503] * 9}
    with pytest.raises(ModelUnavailable):
        machine.heal(reset=True)
    assert machine.verified().ok and machine.storage.hub_copy.exists()


def test_how_much_room_is_missing_is_reported_before_anything_is_touched(
    machine: Machine, hub: LocalHub
) -> None:
    machine.free = 1_000_000
    with pytest.raises(ModelUnavailable, match=r"\d\.\d+ MB are missing"):
        machine.heal()
    assert hub.bytes_asked == 0 and not machine.storage.staging.exists()


def test_room_that_a_reset_makes_counts(machine: Machine, hub: LocalHub) -> None:
    machine.cache(published_files(), machine.storage.revision)
    total = sum(len(published_files()[name]) for name in WANTED)
    machine.free = room_for(total) - machine.storage.hub_copy.removable_bytes() - 1
    with pytest.raises(ModelUnavailable, match="missing"):
        machine.heal(reset=True)
    assert machine.storage.hub_copy.exists()
    machine.free += 1
    meanwhile: list[bool] = []
    hub.faults.cut = {FIRST: [1000]}
    hub.faults.on_cut = lambda: meanwhile.append(machine.storage.hub_copy.exists())
    assert machine.heal(reset=True).ok
    assert meanwhile == [False]  # there was no room for both


def test_a_reset_keeps_the_other_copies_until_the_new_one_is_whole(
    machine: Machine, hub: LocalHub
) -> None:
    machine.cache(published_files(), machine.storage.revision)
    meanwhile: list[bool] = []
    hub.faults.cut = {FIRST: [1000]}
    hub.faults.on_cut = lambda: meanwhile.append(machine.storage.hub_copy.exists())
    assert machine.heal(reset=True).ok
    assert meanwhile == [True] and not machine.storage.hub_copy.exists()


def test_room_on_another_disk_does_not_count(machine: Machine, hub: LocalHub) -> None:
    shared_memory = Path("/dev/shm")
    if not shared_memory.is_dir() or shared_memory.stat().st_dev == machine.home.stat().st_dev:
        pytest.skip("there is no other disk here")
    with tempfile.TemporaryDirectory(dir=shared_memory) as other:
        machine.storage = replace(machine.storage, hub_cache=Path(other))
        machine.cache(published_files(), machine.storage.revision)
        machine.free = room_for(sum(len(published_files()[name]) for name in WANTED)) - 1
        for reset in (True, False):  # a second name cannot be given there either
            with pytest.raises(ModelUnavailable, match="missing"):
                machine.heal(reset=reset)
        machine.free += 1
        hub.asked.clear()
        assert machine.heal().ok and machine.verified().ok and hub.bytes_asked == 0


def test_what_was_fetched_before_needs_no_room_again(machine: Machine, hub: LocalHub) -> None:
    hub.faults.stall = {SECOND: [1_000_000, *[0] * 20]}
    with pytest.raises(ModelUnavailable):
        machine.heal()
    hub.faults.stall = {}
    hub.faults.stall = {}
    staged = machine.storage.staging.path
    left = sum(len(published_files()[name]) for name in WANTED if not (staged / name).exists())
    machine.free = room_for(left - 1_000_000) - 1
    with pytest.raises(ModelUnavailable, match="missing"):
        machine.heal()
    machine.free += 1
    assert machine.heal().ok


def test_a_swap_that_fails_puts_the_old_one_back(
    machine: Machine, hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.heal()
    flip(machine.folder / FIRST)
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
    hub.asked.clear()
    assert machine.heal().ok and hub.bytes_asked == 0


def test_a_part_that_is_somebodys_file_is_not_written_to(machine: Machine, hub: LocalHub) -> None:
    staging = machine.storage.staging.path
    data = published_files()
    staging.mkdir(parents=True)
    for name, join in ((FIRST, os.symlink), (SECOND, os.link)):
        mine = machine.home / f"mine-{name}"
        mine.write_bytes(b"mine")
        join(mine, staging / f"{name}.{etag_of(data[name])[:16]}.part")
    os.mkfifo(staging / "config.json")
    (staging / "tokenizer.json").mkdir()
    assert machine.heal().ok and machine.verified().ok
    assert {p.read_bytes() for p in machine.home.glob("mine-*")} == {b"mine"}


def test_a_store_behind_a_link_is_refused_before_anything_is_touched(
    machine: Machine, hub: LocalHub
) -> None:
    (machine.home / "big disk").mkdir()
    machine.storage.models_folder.mkdir()
    machine.storage.repo_folder.symlink_to(machine.home / "big disk")
    with pytest.raises(ModelError, match=r"is a link; set model\.folder"):
        machine.heal()
    assert list((machine.home / "big disk").iterdir()) == []


def test_what_was_replaced_and_cannot_be_removed_is_untidy_and_no_more(
    machine: Machine, hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.heal()
    flip(machine.folder / FIRST)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(shutil, "rmtree", refuse)
    assert machine.heal().ok and machine.verified().ok
    assert machine.storage.replaced.exists()
    flip(machine.folder / FIRST)
    old = machine.contents()
    with pytest.raises(ModelError, match="remove it by hand"):
        machine.heal()
    assert machine.contents() == old
    monkeypatch.undo()
    assert machine.heal().ok and not machine.storage.replaced.exists()


def test_a_read_only_folder_of_ours_can_be_replaced(machine: Machine, hub: LocalHub) -> None:
    machine.heal()
    (machine.folder / FIRST).unlink()
    machine.folder.chmod(0o500)
    assert machine.heal().ok and not machine.storage.replaced.exists()


def test_half_a_copy_does_not_stay_on_a_full_disk(tmp_path: Path) -> None:
    (tmp_path / "from").write_bytes(b"x" * 100)

    def full(_count: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        staging_module.link_or_copy(tmp_path / "from", tmp_path / "to", link=False, on_bytes=full)
    assert [p.name for p in tmp_path.iterdir()] == ["from"]


def test_a_file_in_the_place_of_the_model_is_kept(machine: Machine, hub: LocalHub) -> None:
    machine.storage.repo_folder.mkdir(parents=True)
    machine.folder.write_text("mine")
    assert machine.heal().ok
    assert [p.read_text() for p in machine.storage.kept.path.iterdir()] == ["mine"]


def test_a_reset_that_is_interrupted_goes_on_where_it_was(machine: Machine, hub: LocalHub) -> None:
    hub.faults.stall = {SECOND: [70_000, *[0] * 20]}
    healer = machine.healer(reset=True)
    with pytest.raises(ModelUnavailable):
        healer.heal()
    hub.faults.stall = {}
    hub.asked[:] = []
    staged = {path.name for path in machine.storage.staging.path.iterdir()}
    machine.free = room_for(
        sum(len(published_files()[name]) for name in WANTED if name not in staged) - 70_000
    )
    assert healer.heal().ok and machine.verified().ok
    assert hub.fetched(FIRST) == [] and {a.range for a in hub.fetched(SECOND)} == {"bytes=70000-"}


def test_a_reset_that_cannot_end_leaves_the_other_copies(machine: Machine, hub: LocalHub) -> None:
    machine.cache(published_files(), machine.storage.revision)
    hub.faults.flip = {FIRST: 10**6}
    with pytest.raises(ModelError, match="installed model was not changed"):
        machine.heal(reset=True)
    assert machine.storage.hub_copy.exists()


def test_a_link_in_the_staging_folders_place_is_not_followed(
    machine: Machine, hub: LocalHub
) -> None:
    mine = machine.home / "mine"
    mine.mkdir()
    (mine / "letter").write_text("mine")
    machine.storage.repo_folder.mkdir(parents=True)
    machine.storage.staging.path.symlink_to(mine)
    assert machine.heal().ok and machine.verified().ok
    assert [p.name for p in mine.iterdir()] == ["letter"]


def test_a_preview_tells_and_touches_nothing(machine: Machine, hub: LocalHub) -> None:
    machine.heal()
    assert machine.healer().preview() is None
    flip(machine.folder / FIRST)
    old = machine.contents()
    hub.asked.clear()
    plan = machine.healer().preview()
    assert (
        plan is not None
        and plan.method(FIRST) == "fetch"
        and plan.method(SECOND) == "link"
        and plan.removals == ()
    )
    assert plan.bytes_by("fetch") == len(published_files()[FIRST])
    machine.storage.staging.path.mkdir()
    shutil.copyfile(machine.folder / SECOND, machine.storage.staging.path / SECOND)
    reset = machine.healer(reset=True).preview()
    machine.storage.staging.remove()
    assert (
        reset is not None
        and reset.removals == machine.storage.other_copies
        and reset.method(SECOND) == "fetch"
    )
    assert (
        machine.contents() == old and hub.bytes_asked == 0 and not machine.storage.staging.exists()
    )


def test_a_file_that_is_not_the_models_is_kept(machine: Machine) -> None:
    machine.heal()
    (machine.folder / "notes.json").write_text("mine")
    (machine.folder / "mine").mkdir()
    (machine.folder / "mine/too").write_text("mine too")
    (machine.folder / FIRST).unlink()
    assert machine.heal().ok
    kept = machine.storage.kept.path
    assert (kept / "notes.json").read_text() == "mine" and (
        kept / "mine/too"
    ).read_text() == "mine too"
    (machine.folder / "notes.json").write_text("again")
    (machine.folder / FIRST).unlink()
    machine.heal()
    assert sorted(p.name for p in kept.iterdir()) == ["mine", "notes.json", "notes.json-2"]


def test_two_healers_never_work_at_once(machine: Machine, hub: LocalHub) -> None:
    from ocrd.model.staging import healing_lock

    with healing_lock(machine.storage, 1), pytest.raises(ModelUnavailable, match="another ocrd"):
        machine.heal()
    assert hub.asked == []
    assert machine.heal().ok


@pytest.mark.parametrize("moment", ["between the renames", "before the old is removed"])
def test_a_swap_that_was_interrupted_is_finished_or_undone(
    machine: Machine, hub: LocalHub, moment: str
) -> None:
    machine.heal()
    machine.folder.rename(machine.storage.replaced.path)
    assert moment != "between the renames" or machine.healer().preview() is None
    if moment != "between the renames":
        shutil.copytree(machine.storage.replaced.path, machine.folder)
    hub.asked.clear()
    assert machine.heal().ok and machine.verified().ok
    assert hub.bytes_asked == 0 and not machine.storage.replaced.exists()


def test_a_copy_that_went_wrong_is_found(
    machine: Machine, hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no second name can be given (another disk) a good file is copied, and the copy is
    hashed for itself.
    """
    machine.heal()
    (machine.folder / "tokenizer.json").unlink()

    def no_links(*_: object, **__: object) -> None:
        raise OSError(errno.EXDEV, "another disk")

    real = staging_module.link_or_copy

    def spoil(source: Path, target: Path, *, link: bool, on_bytes: Callable[[int], None]) -> None:
        real(source, target, link=link, on_bytes=on_bytes)
        if target.name == FIRST and target.stat().st_nlink == 1:
            flip(target)

    monkeypatch.setattr(os, "link", no_links)
    monkeypatch.setattr(assemble_module, "link_or_copy", spoil)
    assert machine.heal().ok and machine.verified().ok
    assert (
        hub.fetched(SECOND) and len(hub.fetched(FIRST)) == 4
    )  # each a redirect and a file; the first one twice


def test_parts_of_another_version_are_not_continued(machine: Machine, hub: LocalHub) -> None:
    staging = machine.storage.staging.path
    staging.mkdir(parents=True)
    (staging / f"{FIRST}.0123456789abcdef.part").write_bytes(b"x" * 1000)
    (staging / "leftover").mkdir()
    (staging / FIRST).write_bytes(b"y" * len(published_files()[FIRST]))
    assert machine.heal().ok and machine.verified().ok
    assert {p.name for p in machine.folder.iterdir()} == {*WANTED, MANIFEST_FILE}
    assert hub.fetched(FIRST)[0].range is None


def test_a_part_that_is_longer_than_its_file_begins_anew(machine: Machine, hub: LocalHub) -> None:
    staging = machine.storage.staging.path
    staging.mkdir(parents=True)
    data = published_files()[FIRST]
    (staging / f"{FIRST}.{etag_of(data)[:16]}.part").write_bytes(b"x" * (len(data) + 1))
    assert machine.heal().ok and machine.verified().ok


def test_what_healing_hashed_is_remembered(machine: Machine) -> None:
    machine.heal()
    memory = HashCache(machine.home / "hashes.json")
    hashed: list[int] = []
    assert verify(machine.folder, memory, expected=ExpectedModel(REPO), on_bytes=hashed.append).ok
    assert hashed == []


def test_a_disk_that_refuses_is_said_and_leaves_the_old(machine: Machine, hub: LocalHub) -> None:
    machine.heal()
    flip(machine.folder / FIRST)
    old = machine.contents()
    machine.storage.staging.path.write_text("a file where the staging folder should be")
    with pytest.raises(ModelError, match="correct that file or folder") as raised:
        machine.heal()
    assert not isinstance(raised.value, ModelUnavailable)  # waiting would change nothing
    assert machine.contents() == old


@pytest.mark.timeout(300)  # some forty forks, each with a healing after it
@pytest.mark.parametrize("damage", ["a flipped byte", "no model", "a stray file and a lost one"])
def test_a_crash_at_any_change_of_the_disk_is_made_good_by_the_next_healing(
    machine: Machine, hub: LocalHub, damage: str
) -> None:
    """Not at random moments but at every one.

    Before each rename, link, removal, new folder and opened file.
    """
    whole = machine.home / "whole"
    machine.heal()
    shutil.copytree(machine.folder, whole)
    argv = [sys.executable, "-m", "tests.crash", str(machine.home), REPO, machine.storage.revision]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as crasher:
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
            assert ready or (not now and machine.storage.replaced.exists()), (
                f"half a model after change {fatal}"
            )
            notes = [
                p
                for p in (machine.folder, machine.storage.replaced.path, machine.storage.kept.path)
                if p.exists()
            ]
            if damage.startswith("a stray"):
                assert any((p / "notes.txt").exists() for p in notes), (
                    f"a user's file is lost after change {fatal}"
                )
            assert machine.heal().ok and machine.verified().ok, f"not healed after change {fatal}"
            if said == "done":
                break
        crasher.stdin.close()
    assert said == "done" and fatal > 10
    left = {p.name for p in machine.storage.repo_folder.iterdir()}
    assert left - {machine.folder.name, machine.storage.lock_file.name} <= {
        machine.storage.kept.path.name
    }
