"""A crash at any moment leaves the old model or the new one, and loses no user's file."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hub import LocalHub
from tests.machine import Machine, flip_byte
from tests.published import REPO, SHARDS

FIRST, SECOND = SHARDS

# More changes of the disk than a healing makes.
MAX_CHANGES = 200


def restore(machine: Machine, model: Path, damage: str) -> None:
    """Install a copy of ``model``, and damage it."""
    shutil.rmtree(machine.folder, ignore_errors=True)
    if damage == "no model":
        return
    shutil.copytree(model, machine.folder)
    if damage == "a flipped byte":
        flip_byte(machine.folder / FIRST)
    else:
        (machine.folder / "notes.txt").write_text("mine")
        (machine.folder / SECOND).unlink()


def check_after_crash(machine: Machine, before: dict[str, bytes], *, has_notes: bool) -> None:
    storage = machine.storage
    contents = machine.contents()
    between_renames = not contents and storage.replaced.exists()
    assert contents == before or between_renames or machine.verify().ok, "half a model"
    folders = (machine.folder, storage.replaced.path, storage.kept.path)
    has_notes_now = any((folder / "notes.txt").exists() for folder in folders)
    assert has_notes_now or not has_notes, "a user's file is lost"


@pytest.mark.timeout(300)  # some forty forks, each with a healing after it
@pytest.mark.parametrize("damage", ["a flipped byte", "no model", "another file and a lost one"])
def test_the_next_healing_recovers_from_a_crash_at_any_change_of_the_disk(
    machine: Machine, hub: LocalHub, damage: str
) -> None:
    """Before each rename, link, removal, new folder and opened file, not at random moments."""
    machine.heal()
    model = machine.home / "complete"
    shutil.copytree(machine.folder, model)
    argv = [sys.executable, "-m", "tests.crash", str(machine.home), REPO, machine.storage.revision]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as crasher:
        assert crasher.stdin and crasher.stdout
        for fatal_change in range(1, MAX_CHANGES):
            restore(machine, model, damage)
            before = machine.contents()
            print(fatal_change, file=crasher.stdin, flush=True)
            answer = crasher.stdout.readline().strip()
            assert answer in ("died", "done"), f"{answer} at change {fatal_change}"
            check_after_crash(machine, before, has_notes=damage.startswith("another file"))
            assert machine.heal().ok and machine.verify().ok, f"after change {fatal_change}"
            if answer == "done":
                break
        crasher.stdin.close()
    assert answer == "done" and fatal_change > 10
    left = {path.name for path in machine.storage.repo_folder.iterdir()}
    own = {machine.folder.name, machine.storage.lock_file.name}
    assert left - own <= {machine.storage.kept.path.name}
