"""The daemon sees to its own model.

Verified, healed, loaded and tried before it reads, while the inbox is watched.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from ocrd.model.expected import ExpectedModel
from ocrd.model.hashes import HashCache
from ocrd.model.verify import verify
from ocrd.paths import POCKET_MODEL
from tests.fork_server.client import Process, start_program
from tests.hub import LocalHub
from tests.integration.conftest import DRAWN, Service, wait_until
from tests.published import MODEL_FILES, REPO, SHARDS, published_files

FIRST, SECOND = SHARDS


@pytest.fixture
def hub() -> LocalHub:
    """Not serving yet."""
    hub = LocalHub()
    hub.publish(REPO, published_files())
    return hub


@pytest.fixture
def serving(hub: LocalHub) -> Iterator[LocalHub]:
    with hub.serving():
        yield hub


@pytest.fixture
def managed(service: Service, hub: LocalHub) -> Service:
    """A daemon that keeps a model of its own, from the local hub."""
    service.model = {
        "repo": REPO,
        "revision": hub.branches["main"],
        "folder": str(service.home / "models"),
    }
    service.environment["HF_HOME"] = str(service.home / "hf")
    service.configure()
    return service


def folder(service: Service) -> Path:
    return Path(service.model["folder"]) / REPO.replace("/", "--") / service.model["revision"]


def whole(service: Service) -> bool:
    return verify(
        folder(service),
        HashCache(),
        expected=ExpectedModel(REPO, service.model["revision"]),
        full=True,
    ).ok


def state(service: Service) -> str | None:
    return (service.status()["engine"] or {}).get("state")


@pytest.mark.real_processes
def test_the_first_start_fetches_the_model_while_files_wait(
    managed: Service, serving: LocalHub
) -> None:
    serving.faults.pause_s = 0.02
    before = managed.drop("before.png")
    managed.start()
    seen: list[dict[str, Any]] = []

    def healing() -> bool:
        seen.append(managed.status()["engine"] or {})
        return (
            seen[-1].get("state") == "healing"
            and seen[-1].get("phase") == "fetching"
            and seen[-1]["done"] > 0
        )

    wait_until(healing, "the healing to show in status")
    assert "healing the model: fetching" in managed.call("status").stdout
    meanwhile = managed.drop("meanwhile.png")
    for path in (before, meanwhile):
        document = managed.wait_for_sidecar(path)
        assert document["pages"][0]["text"] == DRAWN["greeting.png"]
        assert document["model"] == {"repo": REPO, "revision": managed.model["revision"]}
    assert managed.stop() == 0
    assert whole(managed) and managed.status()["jobs"]["done"] == 2


def test_a_second_start_asks_nobody(managed: Service, hub: LocalHub) -> None:
    with hub.serving():
        assert managed.call("model", "heal").returncode == 0
    path = managed.drop("a.png")
    assert managed.run_once() == 0
    assert managed.wait_for_sidecar(path)["pages"][0]["text"] == DRAWN["greeting.png"]


def test_weights_deleted_in_mid_run_are_healed_and_no_file_is_lost(
    managed: Service, serving: LocalHub
) -> None:
    managed.start()
    first = managed.drop("first.png")
    managed.wait_for_sidecar(first)
    (folder(managed) / FIRST).unlink()
    assert managed.process is not None
    (worker,) = psutil.Process(managed.process.pid).children()
    worker.kill()
    second = managed.drop("second.png")
    assert managed.wait_for_sidecar(second)["pages"][0]["text"] == DRAWN["greeting.png"]
    assert whole(managed) and managed.stop() == 0


def test_a_header_that_only_loading_would_miss_is_healed_too(
    managed: Service, serving: LocalHub
) -> None:
    """Same size, same time, same inode.

    A quick look sees nothing; the weights are no numbers, so the self-test fails.
    """
    assert managed.call("model", "heal").returncode == 0
    path = folder(managed) / FIRST
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[-200_000:] = b"\xff" * 200_000  # not a number, in every dtype
    with path.open("r+b") as file:
        file.write(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    picture = managed.drop("a.png")
    assert managed.run_once() == 0
    assert managed.wait_for_sidecar(picture)["pages"][0]["text"] == DRAWN["greeting.png"]
    assert whole(managed) and "hashing all of it" in managed.log.read_text()


def test_without_a_hub_files_wait_and_are_read_when_it_is_back(
    managed: Service, hub: LocalHub
) -> None:
    path = managed.drop("a.png")
    managed.start()
    wait_until(lambda: state(managed) == "waiting", "the daemon to wait for the hub")
    assert "is there a network" in managed.call("status").stdout.replace("\n", " ")
    assert managed.status()["jobs"]["queued"] == 1
    with hub.serving():
        assert managed.wait_for_sidecar(path)["pages"][0]["text"] == DRAWN["greeting.png"]
    assert managed.stop() == 0


def test_once_without_a_hub_gives_up_with_5_and_keeps_the_file_queued(managed: Service) -> None:
    managed.drop("a.png")
    assert managed.run_once() == 5
    log = managed.log.read_text()
    assert "the hub cannot be reached" in log and "Traceback" not in log
    assert managed.status()["jobs"]["queued"] == 1


def test_a_folder_of_the_users_is_verified_and_never_changed(
    service: Service, serving: LocalHub
) -> None:
    mine = service.home / "mine"
    shutil.copytree(POCKET_MODEL, mine)
    (mine / "tokenizer.json").write_text("{}")
    service.model = {"path": str(mine)}
    service.configure()
    before = {p.name: p.stat().st_mtime_ns for p in mine.iterdir()}
    service.drop("a.png")
    assert service.run_once() == 5
    assert "tokenizer" in service.log.read_text()
    assert {
        p.name: p.stat().st_mtime_ns for p in mine.iterdir()
    } == before and serving.requests == []
    assert service.call("model", "heal").returncode == 4


def test_recognize_brings_its_model_first(managed: Service, serving: LocalHub) -> None:
    done = managed.call("recognize", str(POCKET_MODEL / "demo/note.png"))
    assert done.returncode == 0 and done.stdout.strip() == DRAWN["note.png"], done.stderr


def test_heal_on_the_command_line(managed: Service, serving: LocalHub) -> None:
    planned = json.loads(managed.call("model", "heal", "--dry-run", "--json").stdout)
    assert {f["name"]: f["how"] for f in planned["files"]} == dict.fromkeys(MODEL_FILES, "fetch")
    assert not folder(managed).exists()
    assert "would download" in managed.call("model", "heal", "--dry-run").stdout
    assert "there is no model; run: ocrd model heal" in managed.call("model", "verify").stderr
    healed = managed.call("model", "heal", "--json")
    assert healed.returncode == 0 and json.loads(healed.stdout)["ok"] is True and whole(managed)
    assert "the model is complete, every byte was hashed" in managed.call("model", "heal").stdout
    assert "nothing to do" in managed.call("model", "heal", "--dry-run").stdout
    cached = managed.home / "hf/hub" / f"models--{REPO.replace('/', '--')}"
    (cached / "blobs").mkdir(parents=True)
    assert f"would remove {cached}" in managed.call(
        "model", "heal", "--reset", "--dry-run"
    ).stdout.replace("\n", "")
    assert cached.exists()
    shown = managed.call("model", "verify")
    assert shown.returncode == 0 and "torch" in shown.stdout and "MPS" in shown.stdout
    (folder(managed) / SECOND).unlink()
    broken = managed.call("model", "verify")
    assert broken.returncode == 5 and "run: ocrd model heal" in broken.stderr


def test_an_idle_worker_that_dies_is_replaced_at_once(managed: Service, serving: LocalHub) -> None:
    managed.start()
    wait_until(lambda: state(managed) == "ready", "the engine")
    before = managed.status()["engine"]["pid"]
    psutil.Process(before).kill()

    def replaced() -> bool:
        engine = managed.status()["engine"] or {}
        return engine.get("state") == "ready" and engine["pid"] != before

    wait_until(replaced, "another worker", patience=20)
    assert managed.stop() == 0


@pytest.mark.real_processes
def test_a_worker_ends_with_its_daemon_even_in_the_middle_of_healing(
    managed: Service, serving: LocalHub
) -> None:
    serving.faults.stall = {FIRST: [1000, *[0] * 99]}
    managed.start()
    wait_until(lambda: serving.downloads_of(FIRST), "the download to begin")
    assert managed.process is not None
    (worker,) = psutil.Process(managed.process.pid).children()
    managed.stop(signal.SIGKILL)
    _, alive = psutil.wait_procs([worker], timeout=5)
    assert alive == []


def test_stopping_in_the_middle_of_healing_takes_a_moment(
    managed: Service, serving: LocalHub
) -> None:
    serving.faults.stall = {FIRST: [1000, *[0] * 99]}
    managed.start()
    wait_until(lambda: serving.downloads_of(FIRST), "the download to begin")
    started = time.monotonic()
    assert managed.stop() == 0
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(("variables", "arguments", "code", "words"), [
    ({"ALL_PROXY": "socks5://127.0.0.1:1"}, [], 5, "socks"),
    ({"HF_HUB_DOWNLOAD_TIMEOUT": "abc"}, [], 4, "HF_"),
    ({"HF_HOME": "{home}/models/some-org--Some.OCR-model/x"}, [], 4, "model.folder"),
    ({}, ["--from", "/nowhere"], 2, "/nowhere"),
    ({}, ["--from", "~nobody-of-that-name/x"], 2, "nobody"),
])  # fmt: skip
def test_what_cannot_work_is_one_sentence(
    managed: Service,
    serving: LocalHub,
    variables: dict[str, str],
    arguments: list[str],
    code: int,
    words: str,
) -> None:
    managed.environment |= {
        name: value.format(home=managed.home) for name, value in variables.items()
    }
    done = managed.call("model", "heal", *arguments)
    assert done.returncode == code and words in done.stderr.lower().replace("hf_", "HF_"), (
        done.stderr
    )
    assert "Traceback" not in done.stderr and not folder(managed).exists()


@pytest.mark.real_processes
def test_ctrl_c_keeps_what_was_fetched_and_says_so(managed: Service, serving: LocalHub) -> None:
    serving.faults.pause_s = 0.02
    with managed.log.open("wb") as log:
        healer = start_program("ocrd", "model", "heal", environment=managed.environment, stderr=log)
    parts = folder(managed).with_name(f"{folder(managed).name}~new")
    wait_until(lambda: any(p.stat().st_size > 0 for p in parts.glob("*.part")), "the first bytes")
    healer.send_signal(signal.SIGINT)
    assert healer.wait(10) == 130
    said = managed.log.read_text()
    assert "kept for the next time" in said and "Traceback" not in said
    assert any(parts.glob("*.part")) and not folder(managed).exists()


def test_offline_is_said_at_once_and_a_copy_heals(
    managed: Service, serving: LocalHub, tmp_path: Path
) -> None:
    assert managed.call("model", "heal").returncode == 0
    copy = tmp_path / "usb"
    shutil.move(folder(managed), copy)
    serving.requests.clear()
    managed.environment["HF_HUB_OFFLINE"] = "1"
    refused = managed.call("model", "heal")
    assert (
        refused.returncode == 5
        and "HF_HUB_OFFLINE" in refused.stderr
        and "Traceback" not in refused.stderr
    )
    assert managed.call("model", "heal", "--from", str(copy)).returncode == 0
    assert whole(managed) and serving.requests == []


def test_the_pocket_model_is_healed_by_nobody(service: Service) -> None:
    done = service.call("model", "heal")
    assert done.returncode == 4 and "reinstall ocrd" in done.stderr


def test_the_hub_hears_nothing_but_what_it_is_asked_for(
    managed: Service, serving: LocalHub
) -> None:
    assert managed.call("model", "heal").returncode == 0
    assert all(REPO in a.path or "/cdn/" in a.path for a in serving.requests), serving.requests


def test_a_daemon_and_a_command_never_heal_at_once(managed: Service, serving: LocalHub) -> None:
    serving.faults.pause_s = 0.02
    path = managed.drop("a.png")
    managed.start()
    wait_until(
        lambda: serving.downloads_of(FIRST) or serving.downloads_of(SECOND),
        "the daemon to begin fetching",
    )
    assert managed.call("model", "heal").returncode == 0
    managed.wait_for_sidecar(path)
    assert managed.stop() == 0 and whole(managed)
    for name in SHARDS:
        assert len([a for a in serving.downloads_of(name) if "/cdn/" in a.path]) == 1


@pytest.mark.timeout(300)  # forty processes
def test_kill_9_of_healing_at_random_moments_never_leaves_half_a_model(
    managed: Service, serving: LocalHub
) -> None:
    serving.faults.pause_s = 0.001

    def heal() -> Process:
        with managed.log.open("ab") as log:
            return start_program(
                *("ocrd", "model", "heal", "--json"),
                environment=managed.environment,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )

    started = time.monotonic()
    assert heal().wait(60) == 0
    lasts = time.monotonic() - started
    seed = random.randrange(10**6)
    moments = random.Random(seed)
    killed = 0
    for number in range(20):
        # By turns a damaged file, a lost one, and no model at all.
        target = folder(managed)
        if number % 3 == 2:
            shutil.rmtree(target)
        elif number % 3 == 1:
            (target / SECOND).unlink()
        else:
            (target / FIRST).write_bytes(b"\0" + (target / FIRST).read_bytes()[1:])
        before = {p.name: p.read_bytes() for p in target.iterdir()} if target.exists() else {}
        healer = heal()
        time.sleep(moments.uniform(0.3 * lasts, lasts))
        healer.send_signal(signal.SIGKILL)
        killed += healer.wait(10) == -signal.SIGKILL
        after = {p.name: p.read_bytes() for p in target.iterdir()} if target.exists() else {}
        old = managed.home / "models" / REPO.replace("/", "--") / f"{target.name}~old"
        # The old one untouched, or the new one whole, or, between two renames, the old one beside
        # its place.
        assert after == before or (not after and old.exists()) or whole(managed), (
            f"seed {seed}, kill {number}"
        )
        again = heal()
        assert again.wait(60) == 0, f"seed {seed}, kill {number}: {managed.log.read_text()[-2000:]}"
        assert whole(managed), f"seed {seed}, kill {number}"
    left = {p.name for p in folder(managed).parent.iterdir()}
    assert left == {folder(managed).name, f"{folder(managed).name}~lock"}
    assert killed >= 10, f"only {killed} of 20 were killed while they healed (seed {seed})"
