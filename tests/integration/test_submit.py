"""``ocrd submit``: at once, from anywhere, and nothing that was submitted is ever lost."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from ocrd import paths
from ocrd.control.submit import submit
from ocrd.journal import Journal
from ocrd.types import Fingerprint
from tests.demo_pictures import DRAWN, PICTURES
from tests.fork_server.client import run_program, start_program
from tests.integration.conftest import Service, wait_until


def blank(path: Path, number: int) -> Path:
    """An empty page, which is read in no time; each with other bytes."""
    Image.new("L", (40 + number % 50, 40 + number // 50), 255).save(path)
    return path


def test_a_file_is_read_where_it_lies_with_the_rules_for_submitted_ones(service: Service) -> None:
    desk = service.home / "desk"
    desk.mkdir()
    picture = Path(shutil.copyfile(PICTURES / "greeting.png", desk / "-rf $x.png"))
    service.config.write_text(
        service.config.read_text() + '\n[submit]\nformats = ["txt"]\nname = "{stem}"\n'
    )
    service.start()
    wait_until(lambda: service.status()["running"], "the daemon")
    done = service.call("submit", "--wait", "--json", "--", str(picture))
    assert done.returncode == 0, done.stderr
    (told,) = json.loads(done.stdout)
    assert told["state"] == "done" and told["file"] == str(picture)
    assert (desk / "-rf $x.txt").read_text().rstrip("\n") == DRAWN["greeting.png"]
    assert sorted(p.name for p in desk.iterdir()) == ["-rf $x.png", "-rf $x.txt"]


def test_one_that_lies_in_an_inbox_is_read_by_its_rules_and_once(service: Service) -> None:
    service.configure(formats=["md"], name="{stem}", output=str(service.home / "out"))
    (service.inbox / "deep").mkdir()
    picture = Path(shutil.copyfile(PICTURES / "greeting.png", service.inbox / "deep/a.png"))
    assert service.call("submit", str(picture)).returncode == 0
    assert service.run_once() == 0
    assert [str(p.relative_to(service.home)) for p in service.home.glob("out/**/*.md")] == [
        "out/deep/a.md"
    ]
    assert service.status()["jobs"] == {"queued": 0, "running": 0, "done": 1, "failed": 0}
    assert service.sidecars() == []


def test_with_the_daemon_down_it_waits_in_the_queue_and_wait_says_so(service: Service) -> None:
    picture = Path(shutil.copyfile(PICTURES / "greeting.png", service.home / "a.png"))
    alone = service.call("submit", str(picture))
    assert alone.returncode == 0 and "queued; no daemon is running" in alone.stderr
    done = service.call("submit", "--wait", str(picture))
    assert done.returncode == 7 and "start it with: ocrd start" in done.stderr
    assert service.status()["jobs"]["queued"] == 1
    assert service.run_once() == 0
    assert (service.home / "a.png.json").exists()


def test_what_cannot_be_taken_is_named_and_the_rest_is_taken(service: Service) -> None:
    picture = Path(shutil.copyfile(PICTURES / "greeting.png", service.home / "a.png"))
    done = service.call("submit", "/nowhere.png", str(service.inbox), str(picture))
    assert done.returncode == 3
    assert "/nowhere.png: there is no such file" in done.stderr and "is a folder" in done.stderr
    assert "2 of 3 file(s) could not be queued" in done.stderr
    assert service.status()["jobs"]["queued"] == 1


def test_failures_give_3_and_a_link_is_followed(service: Service) -> None:
    words = service.home / "words.png"
    words.write_text("these are words")
    os.utime(words, (0, 0))
    link = service.home / "link.png"
    (service.home / "deep").mkdir()
    shutil.copyfile(PICTURES / "greeting.png", service.home / "deep/a.png")
    link.symlink_to(service.home / "deep/a.png")
    service.start()
    wait_until(lambda: service.status()["running"], "the daemon")
    done = service.call("submit", "--wait", str(words), str(link))
    assert (
        done.returncode == 3
        and "words.png: failed (" in done.stderr
        and "a.png: done" in done.stderr
    )
    assert (service.home / "deep/a.png.txt").exists() and not (
        service.home / "link.png.txt"
    ).exists()


def test_submitting_again_reads_again_what_has_no_sidecars_any_more(service: Service) -> None:
    picture = Path(shutil.copyfile(PICTURES / "greeting.png", service.home / "a.png"))
    service.start()
    wait_until(lambda: service.status()["running"], "the daemon")
    for _ in range(2):
        assert service.call("submit", "--wait", str(picture)).returncode == 0
        text = service.home / "a.png.txt"
        assert text.exists()
        text.unlink()
        (service.home / "a.png.json").unlink()
    assert service.status()["jobs"]["done"] == 1


def test_one_that_changes_while_it_waits_is_read_as_it_is_then(service: Service) -> None:
    picture = Path(shutil.copyfile(PICTURES / "greeting.png", service.home / "a.png"))
    service.call("submit", str(picture))
    shutil.copyfile(PICTURES / "note.png", picture)
    assert service.run_once() == 0
    assert (service.home / "a.png.txt").read_text().rstrip("\n") == DRAWN["note.png"]
    assert service.status()["jobs"]["done"] == 1


def test_pausing_holds_it_and_going_on_reads_it(service: Service) -> None:
    assert "paused" in service.call("pause").stdout
    service.start()
    wait_until(lambda: service.status()["paused"], "the pause")
    picture = service.drop("a.png")
    service.call("submit", str(picture))
    time.sleep(1.5)
    status = service.status()
    assert status["jobs"]["queued"] == 1 and "ocrd resume" in status["paused"]
    assert "resumed" in service.call("resume").stdout
    service.wait_for_sidecar(picture)
    assert service.status()["paused"] is None


def test_retry_takes_up_what_failed(service: Service) -> None:
    words = service.inbox / "words.png"
    words.write_text("these are words")
    os.utime(words, (0, 0))
    assert service.run_once() == 3
    assert "1 failed file(s) queued again; no daemon is running" in service.call("retry").stdout
    assert service.status()["jobs"] == {"queued": 1, "running": 0, "done": 0, "failed": 0}
    assert service.run_once() == 3


@pytest.mark.timeout(300)
def test_a_thousand_submits_while_the_daemon_is_killed_and_restarted_lose_nothing(
    service: Service,
) -> None:
    """From commands and from threads, each file once.

    The daemon dies five times meanwhile, by every signal.
    """
    desk = service.home / "desk"
    desk.mkdir()
    files = [blank(desk / f"{number:04}.png", number) for number in range(1000)]
    service.start()
    done = threading.Event()

    def restart() -> None:
        for number in (
            signal.SIGKILL,
            signal.SIGTERM,
            signal.SIGKILL,
            signal.SIGINT,
            signal.SIGKILL,
        ):
            if done.wait(2.0):
                return
            service.stop(number)
            service.start()

    restarting = threading.Thread(target=restart)
    restarting.start()
    environment = {key: service.environment[key] for key in ("OCRD_STATE_DIR", "OCRD_CONFIG")}

    def by_command(part: list[Path]) -> None:
        service.call("submit", *map(str, part)).check_returncode()

    os.environ.update(environment)
    try:
        assert paths.state_dir() == service.home / "state"
        with ThreadPoolExecutor(4) as pool:
            commands = [
                pool.submit(by_command, files[start : start + 10]) for start in range(0, 500, 10)
            ]
            calls = [pool.submit(submit, [file]) for file in files[500:]]
            for command in commands:
                command.result()
            assert all(submitted.job for call in calls for submitted in call.result()[0])
    finally:
        for key in environment:
            del os.environ[key]
    restarting.join()
    done.set()
    wait_until(
        lambda: service.status()["jobs"]["done"] == 1000,
        f"1000 files; {service.status()['jobs']}",
        timeout_s=200,
    )
    assert service.stop() == 0
    journal = Journal(service.home / "state")
    assert journal.history.counts() == {"queued": 0, "running": 0, "done": 1000, "failed": 0}
    journal.close()
    assert sorted(p.name for p in desk.glob("*.json")) == [f"{file.name}.json" for file in files]
    assert len(list(desk.iterdir())) == 3000  # and nothing was read twice into a numbered set


def test_the_queue_is_listed_and_one_file_of_it_is_tried_again(service: Service) -> None:
    good = service.drop("good.png")
    for name in ("1.png", "2.png"):
        (service.inbox / name).write_text("these are words")
        os.utime(service.inbox / name, (0, 0))
    assert service.run_once() == 3
    told = json.loads(service.call("jobs", "--json").stdout)
    assert {Path(job["path"]).name: job["state"] for job in told} == {
        "good.png": "done",
        "1.png": "failed",
        "2.png": "failed",
    }
    (done,) = [job for job in told if job["state"] == "done"]
    assert done["sidecars"] == [f"{good}.txt", f"{good}.json"]
    assert (
        "good.png" not in (listed := service.call("jobs", "--state", "failed").stdout)
        and "1.png" in listed
    )
    assert "1 failed file(s)" in service.call("retry", str(service.inbox / "1.png")).stdout
    assert service.status()["jobs"] == {"queued": 1, "running": 0, "done": 1, "failed": 1}
    assert service.call("jobs", "--state", "dancing").returncode == 2


def test_waiting_while_it_is_paused_says_so(service: Service) -> None:
    picture = Path(shutil.copyfile(PICTURES / "greeting.png", service.home / "a.png"))
    service.call("pause")
    service.start()
    wait_until(lambda: service.status()["paused"], "the pause")
    with start_program(
        *("ocrd", "submit", "--wait", str(picture)),
        environment=service.environment,
        stderr=subprocess.PIPE,
    ) as waiting:
        assert waiting.stderr is not None
        assert "paused (by hand; go on with: ocrd resume)" in waiting.stderr.readline()
        service.call("resume")
        assert "a.png: done" in waiting.stderr.read()
    assert waiting.returncode == 0


def test_a_hundred_signals_in_a_row_end_it_as_one_does(service: Service) -> None:
    """A handler that took a lock could find the main thread holding it, and wait for ever."""
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


def test_many_who_ask_whether_it_runs_do_not_keep_it_from_starting(service: Service) -> None:
    from ocrd.control.lock import is_running, single_instance

    state = service.home / "state"
    over = threading.Event()
    state.mkdir()
    asking = [
        threading.Thread(target=lambda: [is_running(state) for _ in iter(over.is_set, True)])
        for _ in range(2)
    ]
    for thread in asking:
        thread.start()
    try:
        for _ in range(200):
            with single_instance(state):
                assert is_running(state)
    finally:
        over.set()
        for thread in asking:
            thread.join()


@pytest.mark.parametrize("what", ["start", "stop"])
def test_a_journal_that_somebody_else_holds_delays_no_end(service: Service, what: str) -> None:
    Journal(paths.make_private_folder(service.home / "state")).close()
    if what == "stop":
        service.start()
        wait_until(lambda: service.status()["pid"], "the daemon")
    with contextlib.closing(
        sqlite3.connect(service.home / "state/journal.sqlite3", isolation_level=None)
    ) as other:
        other.execute("BEGIN IMMEDIATE")
        if what == "start":
            done = service.call("run")
            assert done.returncode == 7 and "Traceback" not in done.stderr
            return
        started = time.monotonic()
        assert service.stop() == 0
        assert time.monotonic() - started < 5


def test_a_broken_or_forbidden_journal_is_one_sentence(service: Service) -> None:
    state = paths.make_private_folder(service.home / "state")
    filling = Journal(state)
    for number in range(200):
        filling.jobs.submit(
            Path(f"/nowhere/{number}-{'x' * 300}.png"), Fingerprint(1, number, 3, 4)
        )
    filling.close()
    service.drop("1.png")
    journal = service.home / "state/journal.sqlite3"
    data = bytearray(journal.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    journal.write_bytes(data)
    for path in journal.parent.glob("journal.sqlite3-*"):
        path.unlink()
    for command in (["status"], ["submit", str(service.inbox / "1.png")], ["pause"], ["jobs"]):
        done = service.call(*command)
        assert done.returncode == 7 and "Traceback" not in done.stderr, command
        assert "is damaged" in done.stderr and "rebuilt from the sidecars" in done.stderr


def test_a_hook_that_submits_its_own_file_is_run_once(service: Service) -> None:
    hook = service.home / "hook"
    ran = service.home / "ran"
    hook.write_text(f'#!/bin/sh\necho x >> {ran}\nexec {sys.executable} -m ocrd submit -- "$1"\n')
    hook.chmod(0o755)
    service.configure(on_done=[str(hook)])
    service.drop("a.png")
    assert service.run_once() == 0
    assert ran.read_text() == "x\n"
    assert "the file's own hook" in (service.home / "state/logs/ocrd.log").read_text()


def test_a_name_with_a_line_feed_comes_back_as_it_is(service: Service) -> None:
    picture = Path(shutil.copyfile(PICTURES / "greeting.png", service.home / "new\nline.png"))
    done = service.call("submit", "--json", str(picture))
    assert [told["file"] for told in json.loads(done.stdout)] == [str(picture)]


def test_a_file_that_grows_after_it_was_submitted_is_read_whole(service: Service) -> None:
    one, two = (Image.open(PICTURES / name).convert("RGB") for name in ("greeting.png", "note.png"))
    grows = service.home / "grows.tif"
    service.start()
    wait_until(lambda: (service.status()["engine"] or {}).get("state") == "ready", "the model")
    one.save(grows)
    service.call("submit", str(grows))
    time.sleep(1.0)
    one.save(grows, save_all=True, append_images=[two])
    wait_until((service.home / "grows.tif.json").exists, "the sidecar")
    assert (service.home / "grows.tif.txt").read_text().count("\f") == 1


def test_waiting_tells_of_the_file_as_it_was_submitted_not_as_it_was_before(
    service: Service,
) -> None:
    picture = Path(shutil.copyfile(PICTURES / "greeting.png", service.home / "a.png"))
    service.call("submit", str(picture))
    assert service.run_once() == 0
    service.call("pause")
    service.start()
    wait_until(lambda: service.status()["paused"], "the pause")
    shutil.copyfile(PICTURES / "note.png", picture)
    with start_program(
        *("ocrd", "submit", "--wait", str(picture)),
        environment=service.environment,
        stderr=subprocess.PIPE,
    ) as waiting:
        assert waiting.stderr is not None
        assert "paused" in waiting.stderr.readline()
        picture.unlink()
        service.call("resume")
        assert "a.png: gone" in waiting.stderr.read()
    assert waiting.returncode == 3


def test_a_hook_that_tries_its_own_file_again_is_refused(service: Service) -> None:
    environment = {**service.environment, "OCRD_EVENT": "failed", "OCRD_FILE": "/x/a.png"}
    for arguments in (["/x/a.png"], []):
        done = run_program("ocrd", "retry", *arguments, environment=environment)
        assert done.returncode == 2 and "the file's own hook" in done.stderr
    assert run_program("ocrd", "retry", "/x/b.png", environment=environment).returncode == 0
