"""A healing that is killed at a random moment never leaves half a model."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import time

import pytest

from tests.fork_server.client import Process, start_program
from tests.hub import LocalHub
from tests.integration.model.managed import ManagedService
from tests.published import SHARDS

FIRST, SECOND = SHARDS
KILLS = 20


def start_healing(managed: ManagedService) -> Process:
    with managed.service.log.open("ab") as log:
        return start_program(
            *("ocrd", "model", "heal", "--json"),
            environment=managed.service.environment,
            stdout=subprocess.DEVNULL,
            stderr=log,
        )


def damage(managed: ManagedService, number: int) -> None:
    """A changed file, a missing one, or no model, depending on ``number``."""
    match number % 3:
        case 0:
            path = managed.folder / FIRST
            path.write_bytes(b"\0" + path.read_bytes()[1:])
        case 1:
            (managed.folder / SECOND).unlink()
        case _:
            shutil.rmtree(managed.folder)


def measure_healing(managed: ManagedService, number: int) -> float:
    """Seconds that healing takes after this damage."""
    damage(managed, number)
    started = time.monotonic()
    assert start_healing(managed).wait(60) == 0
    return time.monotonic() - started


@pytest.mark.timeout(300)  # forty processes
def test_kill_9_at_random_moments_never_leaves_half_a_model(
    managed: ManagedService, hub: LocalHub
) -> None:
    hub.faults.pause_s = 0.001
    assert start_healing(managed).wait(60) == 0
    durations_s = [measure_healing(managed, number) for number in range(3)]
    seed = random.randrange(10**6)
    moments = random.Random(seed)
    killed = 0
    for number in range(KILLS):
        where = f"seed {seed}, kill {number}"
        damage(managed, number)
        before = managed.contents()
        healer = start_healing(managed)
        duration_s = durations_s[number % 3]
        time.sleep(moments.uniform(0.3 * duration_s, duration_s))
        healer.send_signal(signal.SIGKILL)
        killed += healer.wait(10) == -signal.SIGKILL
        after = managed.contents()
        between_renames = not after and managed.replaced.exists()
        assert after == before or between_renames or managed.is_complete(), where
        log = managed.service.log
        assert start_healing(managed).wait(60) == 0, f"{where}: {log.read_text()[-2000:]}"
        assert managed.is_complete(), where
    left = {path.name for path in managed.repo_folder.iterdir()}
    assert left == {managed.folder.name, f"{managed.folder.name}~lock"}
    assert killed >= KILLS // 2, f"only {killed} were killed while they healed (seed {seed})"
