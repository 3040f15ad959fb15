"""Before the daemon reads, it verifies, heals, loads and tests its model. Files wait meanwhile."""

from __future__ import annotations

import os
import shutil
import signal
import time

import psutil
import pytest

from ocrd.paths import POCKET_MODEL
from tests.demo_pictures import DRAWN
from tests.hub import LocalHub
from tests.integration.conftest import Service, wait_until
from tests.integration.model.managed import ManagedService
from tests.published import REPO, SHARDS

FIRST, SECOND = SHARDS
GREETING = DRAWN["greeting.png"]


@pytest.mark.real_processes
def test_the_first_start_fetches_the_model_while_files_wait(
    managed: ManagedService, hub: LocalHub
) -> None:
    service = managed.service
    hub.faults.pause_s = 0.02
    before = service.drop("before.png")
    service.start()

    def is_fetching() -> bool:
        engine = service.status()["engine"] or {}
        fetching = (engine.get("state"), engine.get("phase")) == ("healing", "fetching")
        return fetching and engine["done_bytes"] > 0

    wait_until(is_fetching, "the download to show in the status")
    assert "healing the model: fetching" in service.call("status").stdout
    during = service.drop("during.png")
    for path in (before, during):
        document = service.wait_for_sidecar(path)
        assert document["pages"][0]["text"] == GREETING
        assert document["model"] == {"repo": REPO, "revision": managed.revision}
    assert service.stop() == 0
    assert managed.is_complete() and service.status()["jobs"]["done"] == 2


def test_a_second_start_needs_no_hub(managed: ManagedService, stopped_hub: LocalHub) -> None:
    with stopped_hub.serving():
        assert managed.heal().returncode == 0
    path = managed.service.drop("a.png")
    assert managed.service.run_once() == 0
    assert managed.service.wait_for_sidecar(path)["pages"][0]["text"] == GREETING


def test_weights_that_are_deleted_while_the_daemon_runs_are_healed_and_no_file_is_lost(
    managed: ManagedService, hub: LocalHub
) -> None:
    service = managed.service
    service.start()
    service.wait_for_sidecar(service.drop("first.png"))
    (managed.folder / FIRST).unlink()
    assert service.process is not None
    (worker,) = psutil.Process(service.process.pid).children()
    worker.kill()
    second = service.drop("second.png")
    assert service.wait_for_sidecar(second)["pages"][0]["text"] == GREETING
    assert managed.is_complete() and service.stop() == 0


def test_weights_that_only_the_self_test_finds_wrong_are_healed(
    managed: ManagedService, hub: LocalHub
) -> None:
    """With the same size, time and inode, a quick verification finds nothing."""
    assert managed.heal().returncode == 0
    path = managed.folder / FIRST
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[-200_000:] = b"\xff" * 200_000  # not a number, in every dtype
    with path.open("r+b") as file:
        file.write(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    picture = managed.service.drop("a.png")
    assert managed.service.run_once() == 0
    assert managed.service.wait_for_sidecar(picture)["pages"][0]["text"] == GREETING
    assert managed.is_complete() and "hashing all of it" in managed.service.log.read_text()


def test_without_a_hub_files_wait_and_are_read_when_it_is_back(
    managed: ManagedService, stopped_hub: LocalHub
) -> None:
    service = managed.service
    path = service.drop("a.png")
    service.start()
    wait_until(lambda: managed.engine_state() == "waiting", "the daemon to wait for the hub")
    assert "is there a network" in service.call("status").stdout.replace("\n", " ")
    wait_until(lambda: service.status()["jobs"]["queued"] == 1, "the file to be queued")
    with stopped_hub.serving():
        assert service.wait_for_sidecar(path)["pages"][0]["text"] == GREETING
    assert service.stop() == 0


def test_one_run_without_a_hub_ends_with_5_and_keeps_the_file_queued(
    managed: ManagedService,
) -> None:
    managed.service.drop("a.png")
    assert managed.service.run_once() == 5
    log = managed.service.log.read_text()
    assert "the hub cannot be reached" in log and "Traceback" not in log
    assert managed.service.status()["jobs"]["queued"] == 1


def test_a_users_own_folder_is_verified_and_never_changed(service: Service, hub: LocalHub) -> None:
    own = service.home / "own"
    shutil.copytree(POCKET_MODEL, own)
    (own / "tokenizer.json").write_text("{}")
    service.model = {"path": str(own)}
    service.configure()
    before = {path.name: path.stat().st_mtime_ns for path in own.iterdir()}
    service.drop("a.png")
    assert service.run_once() == 5
    assert "tokenizer" in service.log.read_text()
    assert {path.name: path.stat().st_mtime_ns for path in own.iterdir()} == before
    assert hub.requests == []
    assert service.call("model", "heal").returncode == 4


def test_an_idle_worker_that_dies_is_replaced(managed: ManagedService, hub: LocalHub) -> None:
    service = managed.service
    service.start()
    wait_until(lambda: managed.engine_state() == "ready", "the engine")
    before = service.status()["engine"]["pid"]
    psutil.Process(before).kill()

    def is_replaced() -> bool:
        engine = service.status()["engine"] or {}
        return engine.get("state") == "ready" and engine["pid"] != before

    wait_until(is_replaced, "another worker", timeout_s=20)
    assert service.stop() == 0


@pytest.mark.real_processes
def test_a_worker_ends_with_its_daemon_even_during_a_download(
    managed: ManagedService, hub: LocalHub
) -> None:
    hub.faults.stall = {FIRST: [1000, *[0] * 99]}
    managed.service.start()
    wait_until(lambda: hub.downloads_of(FIRST), "the download to begin")
    assert managed.service.process is not None
    (worker,) = psutil.Process(managed.service.process.pid).children()
    managed.service.stop(signal.SIGKILL)
    _, alive = psutil.wait_procs([worker], timeout=5)
    assert alive == []


def test_the_daemon_stops_soon_even_during_a_download(
    managed: ManagedService, hub: LocalHub
) -> None:
    hub.faults.stall = {FIRST: [1000, *[0] * 99]}
    managed.service.start()
    wait_until(lambda: hub.downloads_of(FIRST), "the download to begin")
    started = time.monotonic()
    assert managed.service.stop() == 0
    assert time.monotonic() - started < 5


def test_a_daemon_and_a_command_never_heal_at_the_same_time(
    managed: ManagedService, hub: LocalHub
) -> None:
    hub.faults.pause_s = 0.02
    path = managed.service.drop("a.png")
    managed.service.start()
    wait_until(lambda: hub.downloads_of(FIRST) or hub.downloads_of(SECOND), "the daemon's download")
    assert managed.heal().returncode == 0
    managed.service.wait_for_sidecar(path)
    assert managed.service.stop() == 0 and managed.is_complete()
    for name in SHARDS:
        assert len([request for request in hub.downloads_of(name) if "/cdn/" in request.path]) == 1
