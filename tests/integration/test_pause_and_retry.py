"""``ocrd pause``, ``ocrd resume``, ``ocrd jobs`` and ``ocrd retry``."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

from tests.demo_pictures import PICTURES
from tests.fork_server.client import run_program, start_program
from tests.integration.conftest import Service, wait_until


def test_no_file_is_read_during_a_pause_and_resume_reads_it(service: Service) -> None:
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


def test_wait_shows_that_the_daemon_is_paused(service: Service) -> None:
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


def test_retry_queues_failed_files_again(service: Service) -> None:
    words = service.inbox / "words.png"
    words.write_text("these are words")
    os.utime(words, (0, 0))
    assert service.run_once() == 3
    assert "1 failed file(s) queued again; no daemon is running" in service.call("retry").stdout
    assert service.status()["jobs"] == {"queued": 1, "running": 0, "done": 0, "failed": 0}
    assert service.run_once() == 3


def test_jobs_lists_the_files_and_retry_queues_one_of_them(service: Service) -> None:
    good = service.drop("good.png")
    for name in ("1.png", "2.png"):
        (service.inbox / name).write_text("these are words")
        os.utime(service.inbox / name, (0, 0))
    assert service.run_once() == 3
    jobs = json.loads(service.call("jobs", "--json").stdout)
    assert {Path(job["path"]).name: job["state"] for job in jobs} == {
        "good.png": "done",
        "1.png": "failed",
        "2.png": "failed",
    }
    (done,) = [job for job in jobs if job["state"] == "done"]
    assert done["sidecars"] == [f"{good}.txt", f"{good}.json"]
    failed = service.call("jobs", "--state", "failed").stdout
    assert "good.png" not in failed
    assert "1.png" in failed
    assert "1 failed file(s)" in service.call("retry", str(service.inbox / "1.png")).stdout
    assert service.status()["jobs"] == {"queued": 1, "running": 0, "done": 1, "failed": 1}
    assert service.call("jobs", "--state", "dancing").returncode == 2


def test_a_hook_that_retries_its_own_file_is_refused(service: Service) -> None:
    environment = {**service.environment, "OCRD_EVENT": "failed", "OCRD_FILE": "/x/a.png"}
    for arguments in (["/x/a.png"], []):
        done = run_program("ocrd", "retry", *arguments, environment=environment)
        assert done.returncode == 2 and "the file's own hook" in done.stderr
    assert run_program("ocrd", "retry", "/x/b.png", environment=environment).returncode == 0
