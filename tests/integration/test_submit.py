"""``ocrd submit`` queues files from any folder, with and without a running daemon."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from PIL import Image

from tests.demo_pictures import DRAWN, PICTURES
from tests.fork_server.client import start_program
from tests.integration.conftest import Service, wait_until


def test_a_file_is_read_in_its_folder_with_the_settings_of_submit(service: Service) -> None:
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
    (job,) = json.loads(done.stdout)
    assert job["state"] == "done"
    assert job["file"] == str(picture)
    assert (desk / "-rf $x.txt").read_text().rstrip("\n") == DRAWN["greeting.png"]
    assert sorted(p.name for p in desk.iterdir()) == ["-rf $x.png", "-rf $x.txt"]


def test_a_file_in_an_inbox_is_read_once_with_the_settings_of_the_inbox(service: Service) -> None:
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


def test_without_a_daemon_the_file_stays_in_the_queue_and_wait_ends_with_an_error(
    service: Service,
) -> None:
    picture = Path(shutil.copyfile(PICTURES / "greeting.png", service.home / "a.png"))
    alone = service.call("submit", str(picture))
    assert alone.returncode == 0 and "queued; no daemon is running" in alone.stderr
    done = service.call("submit", "--wait", str(picture))
    assert done.returncode == 7 and "start it with: ocrd start" in done.stderr
    assert service.status()["jobs"]["queued"] == 1
    assert service.run_once() == 0
    assert (service.home / "a.png.json").exists()


def test_files_that_cannot_be_queued_are_named_and_the_others_are_queued(service: Service) -> None:
    picture = Path(shutil.copyfile(PICTURES / "greeting.png", service.home / "a.png"))
    done = service.call("submit", "/nowhere.png", str(service.inbox), str(picture))
    assert done.returncode == 3
    assert "/nowhere.png: there is no such file" in done.stderr and "is a folder" in done.stderr
    assert "2 of 3 file(s) could not be queued" in done.stderr
    assert service.status()["jobs"]["queued"] == 1


def test_a_failed_file_gives_exit_code_3_and_a_link_is_followed(service: Service) -> None:
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
    assert done.returncode == 3
    assert "words.png: failed (" in done.stderr
    assert "a.png: done" in done.stderr
    assert (service.home / "deep/a.png.txt").exists()
    assert not (service.home / "link.png.txt").exists()


def test_a_file_whose_sidecars_were_deleted_is_read_again_when_it_is_submitted_again(
    service: Service,
) -> None:
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


def test_a_file_that_changes_in_the_queue_is_read_with_its_new_content(service: Service) -> None:
    picture = Path(shutil.copyfile(PICTURES / "greeting.png", service.home / "a.png"))
    service.call("submit", str(picture))
    shutil.copyfile(PICTURES / "note.png", picture)
    assert service.run_once() == 0
    assert (service.home / "a.png.txt").read_text().rstrip("\n") == DRAWN["note.png"]
    assert service.status()["jobs"]["done"] == 1


def test_a_hook_that_submits_its_own_file_runs_once(service: Service) -> None:
    hook = service.home / "hook"
    ran = service.home / "ran"
    hook.write_text(f'#!/bin/sh\necho x >> {ran}\nexec {sys.executable} -m ocrd submit -- "$1"\n')
    hook.chmod(0o755)
    service.configure(on_done=[str(hook)])
    service.drop("a.png")
    assert service.run_once() == 0
    assert ran.read_text() == "x\n"
    assert "the file's own hook" in (service.home / "state/logs/ocrd.log").read_text()


def test_a_name_with_a_line_feed_is_printed_unchanged_in_json(service: Service) -> None:
    picture = Path(shutil.copyfile(PICTURES / "greeting.png", service.home / "new\nline.png"))
    done = service.call("submit", "--json", str(picture))
    assert [job["file"] for job in json.loads(done.stdout)] == [str(picture)]


def test_a_file_that_grows_after_it_was_submitted_is_read_completely(service: Service) -> None:
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


def test_wait_reports_the_new_job_of_a_file_that_was_read_before(
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
