"""The real daemon with a real worker, model and files, from its start to its end."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import threading
import time
from pathlib import Path

import psutil
import pytest
from PIL import Image

from ocrd.control.lock import is_running, single_instance
from ocrd.worker import child
from tests.demo_pictures import DRAWN, PICTURES
from tests.integration.conftest import Service, wait_until
from tests.sidecar_schema import read_sidecar


def is_correct(text: str, picture: str = "greeting.png") -> bool:
    return text.rstrip("\n") == DRAWN[picture]


@pytest.mark.real_processes
def test_a_picture_gets_one_pair_of_sidecars_however_it_arrives(service: Service) -> None:
    before = service.drop("before.png")
    service.start()
    copied = service.drop("copied.png")
    elsewhere = service.home / "moved.png"
    shutil.copyfile(PICTURES / "greeting.png", elsewhere)
    moved = service.inbox / "moved.png"
    elsewhere.rename(moved)
    slow = service.inbox / "slow.png"
    data = (PICTURES / "greeting.png").read_bytes()
    with slow.open("wb") as file:
        file.write(data[:1500])
        file.flush()
        time.sleep(2.0)  # longer than the settle time
        file.write(data[1500:])
    for path in (before, copied, moved, slow):
        service.wait_for_sidecar(path)
        document = read_sidecar(path)
        assert is_correct(document["pages"][0]["text"])
        assert is_correct(path.with_name(path.name + ".txt").read_text(encoding="utf-8"))
    # The job of the first half of slow.png is retried once and then dropped.
    wait_until(lambda: service.status()["jobs"]["queued"] == 0, "the end of the queue")
    assert service.stop() == 0
    names = [f"{n}.png.{s}" for n in ("before", "copied", "moved", "slow") for s in ("json", "txt")]
    assert service.sidecars() == sorted(names)
    assert service.status()["jobs"] == {"queued": 0, "running": 0, "done": 4, "failed": 0}


def test_broken_files_fail_with_a_reason_and_the_others_are_read(service: Service) -> None:
    old = time.time() - 3600
    bad = {
        "words.png": b"these are words, not pixels",
        "cut.png": (PICTURES / "note.png").read_bytes()[:2000],
    }
    for name, data in bad.items():
        (service.inbox / name).write_bytes(data)
        os.utime(service.inbox / name, (old, old))
    good = service.drop("good.png")
    assert service.run_once() == 3
    assert is_correct(service.wait_for_sidecar(good)["pages"][0]["text"])
    failures = {
        Path(f["file"]).name: (f["reason"], f["message"]) for f in service.status()["failures"]
    }
    assert {name: reason for name, (reason, _) in failures.items()} == {
        "words.png": "unsupported",
        "cut.png": "damaged",
    }
    assert all(name in message for name, (_, message) in failures.items())
    assert service.sidecars() == ["good.png.json", "good.png.txt"]


@pytest.mark.real_processes
def test_a_killed_worker_is_replaced_and_its_job_runs_again(service: Service) -> None:
    service.start()
    wait_until(lambda: (service.status()["engine"] or {}).get("state") == "ready", "the engine")
    assert service.process is not None
    (worker,) = psutil.Process(service.process.pid).children()
    service.drop("first.png")
    worker.kill()
    assert is_correct(service.wait_for_sidecar(service.inbox / "first.png")["pages"][0]["text"])
    assert service.status()["jobs"]["failed"] == 0


def test_after_a_kill_9_every_file_is_read(service: Service) -> None:
    paths = [service.drop(f"{n}.png") for n in range(6)]
    service.start()
    service.wait_for_sidecar(paths[0])
    assert service.stop(signal.SIGKILL) == -signal.SIGKILL
    assert service.run_once() == 0
    names = [f"{n}.png.{s}" for n in range(6) for s in ("json", "txt")]
    assert service.sidecars() == sorted(names)


def test_a_restart_reads_no_file_twice_even_without_the_journal(service: Service) -> None:
    path = service.drop("a.png")
    assert service.run_once() == 0
    written = path.with_name("a.png.json").stat().st_mtime_ns
    shutil.rmtree(service.home / "state")
    assert service.run_once() == 0
    assert path.with_name("a.png.json").stat().st_mtime_ns == written
    assert service.sidecars() == ["a.png.json", "a.png.txt"]


def test_a_text_file_of_the_user_is_not_overwritten(service: Service) -> None:
    service.drop("a.png")
    users = service.inbox / "a.png.txt"
    users.write_text("my notes")
    assert service.run_once() == 0
    assert users.read_text() == "my notes"
    assert is_correct((service.inbox / "a.png-2.txt").read_text())


def test_pages_of_a_tiff_are_in_order_and_separated_by_form_feeds(service: Service) -> None:
    pages = [Image.open(PICTURES / name).convert("RGB") for name in ("greeting.png", "receipt.png")]
    pages[0].save(service.inbox / "two.tif", save_all=True, append_images=pages[1:])
    service.configure(
        formats=["txt", "md", "json"], name="{stem}", output=str(service.home / "out")
    )
    assert service.run_once() == 0
    assert sorted(p.name for p in (service.home / "out").iterdir()) == [
        "two.json",
        "two.md",
        "two.txt",
    ]
    first, second = (service.home / "out/two.txt").read_text().split("\f")
    assert is_correct(first) and is_correct(second, "receipt.png")
    assert service.sidecars() == []


def test_each_inbox_has_its_own_formats_names_and_output_folder(service: Service) -> None:
    other = service.home / "other"
    (other / "deep").mkdir(parents=True)
    out = str(service.home / "out")
    service.configure(
        {"path": str(other), "settle": 0.3, "formats": ["md"], "name": "{stem}", "output": out}
    )
    service.drop("a.png")
    shutil.copyfile(PICTURES / "note.png", other / "deep/b.png")
    assert service.run_once() == 0
    assert service.sidecars() == ["a.png.json", "a.png.txt"]
    assert [str(p.relative_to(out)) for p in Path(out).rglob("*") if p.is_file()] == ["deep/b.md"]
    assert is_correct((service.home / "out/deep/b.md").read_text(), "note.png")


def test_an_idle_worker_sends_no_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    """They would accumulate in the daemon and use a laptop's battery."""
    monkeypatch.setattr(child, "HEARTBEAT_INTERVAL_S", 0.02)
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb"), os.fdopen(writing, "wb") as messages:
        worker = child.Child(io.BytesIO(), messages)
        sent: list[object] = []
        monkeypatch.setattr(worker, "send", sent.append)
        threading.Thread(target=worker._send_heartbeats, daemon=True).start()
        time.sleep(0.2)
        assert sent == []
        worker._working.set()
        wait_until(lambda: len(sent) >= 3, "heartbeats", timeout_s=5)
        worker._working.clear()
        time.sleep(0.1)
        before = len(sent)
        time.sleep(0.2)
        assert len(sent) == before


@pytest.mark.real_processes
def test_the_idle_parent_process_is_small_and_does_not_load_torch(service: Service) -> None:
    service.drop("a.png")
    service.start()
    service.wait_for_sidecar(service.inbox / "a.png")
    assert service.process is not None
    parent = psutil.Process(service.process.pid)
    assert parent.memory_info().rss < 80 * 1024 * 1024
    if os.uname().sysname == "Linux":
        assert not [m.path for m in parent.memory_maps() if "torch" in m.path]


def test_a_second_daemon_on_the_same_state_is_refused(service: Service) -> None:
    service.start()
    wait_until(lambda: service.status()["running"], "the daemon")
    second = service.call("run", "--once")
    assert second.returncode == 7
    assert "another ocrd is running" in second.stderr


def test_the_log_has_the_id_of_each_job(service: Service) -> None:
    service.drop("a.png")
    assert service.run_once() == 0
    events = [
        json.loads(line) for line in (service.home / "state/logs/ocrd.log").read_text().splitlines()
    ]
    jobs = {e["event"]: e.get("job") for e in events if e["event"] in ("queued", "done")}
    assert jobs["queued"] is not None and jobs["queued"] == jobs["done"]


def test_a_file_whose_name_is_not_utf8_is_read_and_logged(service: Service) -> None:
    try:
        service.drop(os.fsdecode(b"z\xff.png"))
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    assert service.run_once() == 0
    assert len(service.sidecars()) == 2
    assert "Logging error" not in service.log.read_text(errors="replace")
    assert "udcff.png" in (service.home / "state/logs/ocrd.log").read_text()


@pytest.mark.real_processes
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_daemon_ends_within_five_seconds_while_it_loads_the_model(
    service: Service, number: int
) -> None:
    service.start()
    wait_until(lambda: service.status()["pid"], "the daemon")
    started = time.monotonic()
    assert service.stop(number) == 0
    assert time.monotonic() - started < 5


def test_a_hundred_signals_end_the_daemon_like_one(service: Service) -> None:
    """A signal handler that takes a lock could wait forever for the main thread, which holds it."""
    for number in range(10):
        service.drop(f"{number}.png")
    service.start()
    wait_until(lambda: service.status()["pid"], "the daemon")
    assert service.process is not None
    for _ in range(100):
        service.process.send_signal(signal.SIGHUP)
    assert service.process.wait(10) == 0
    service.process = None
    assert service.run_once() == 0 and len(list(service.inbox.glob("*.json"))) == 10


def test_checking_whether_a_daemon_runs_does_not_prevent_its_start(service: Service) -> None:
    state = service.home / "state"
    started_all = threading.Event()
    state.mkdir()
    threads = [
        threading.Thread(target=lambda: [is_running(state) for _ in iter(started_all.is_set, True)])
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    try:
        for _ in range(200):
            with single_instance(state):
                assert is_running(state)
    finally:
        started_all.set()
        for thread in threads:
            thread.join()
