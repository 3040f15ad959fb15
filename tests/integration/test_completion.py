"""After a file is read: tags, hooks and notifications. While the daemon is idle: power and memory.

The daemon is real.
"""

from __future__ import annotations

import json
import os
import plistlib
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import tomli_w

from ocrd.finder import tags
from tests.demo_pictures import PICTURES
from tests.fakes import mac as fake_mac
from tests.integration.conftest import Service, wait_until


@pytest.fixture
def mac(service: Service) -> Service:
    """The daemon on a machine that claims to be a Mac."""
    (service.home / "me").mkdir()
    fake_mac.install(service.home / "mac", service.home / "me")
    service.program = "tests.fakes.mac"
    service.environment["FAKE_MAC"] = str(service.home / "mac")
    return service


def hook(service: Service, name: str, *, code: str = "") -> list[str]:
    """A hook that records its arguments and variables and then runs ``code``."""
    script = service.home / f"{name}.py"
    calls = service.home / f"{name}.calls"
    script.write_text(
        "import json, os, sys, time\n"
        f"with open({str(calls)!r}, 'a') as file:\n"
        "    variables = {k: v for k, v in os.environ.items() if k.startswith('OCRD_')}\n"
        "    print(json.dumps([sys.argv[1:], variables]), file=file)\n" + code
    )
    return [sys.executable, str(script), "--first"]


def hook_calls(service: Service, name: str) -> list[tuple[list[str], dict[str, str]]]:
    """The arguments and the ``OCRD_`` variables of each call of a hook."""
    path = service.home / f"{name}.calls"
    if not path.exists():
        return []
    return [tuple(json.loads(line)) for line in path.read_text().splitlines()]


def drop_broken(service: Service, name: str = "bad.png") -> Path:
    path = service.inbox / name
    path.write_text("not a picture")
    os.utime(path, (0, 0))
    return path


def add_settings(service: Service, **tables: dict[str, Any]) -> None:
    service.config.write_text(service.config.read_text() + "\n" + tomli_w.dumps(tables))


def tags_of(path: Path) -> list[str]:
    """The Finder tags of a file."""
    try:
        return tags.parse_tags(tags.read_attribute(path))
    except OSError:
        return []


def test_files_are_tagged_and_a_changed_tag_does_not_queue_the_file_again(mac: Service) -> None:
    good = mac.drop("good.png")
    broken = drop_broken(mac)
    tags.write_attribute(good, plistlib.dumps(["Mine\n2"], fmt=plistlib.FMT_BINARY))
    mac.start()
    mac.wait_for_sidecar(good)
    wait_until(
        lambda: mac.status()["jobs"]["failed"] == 1 and mac.status()["jobs"]["done"] == 1,
        "both jobs to end",
    )
    assert tags_of(good) == ["Mine\n2", "OCR\n4"] and tags_of(broken) == ["OCR failed\n6"]
    # The user changes the tags in Finder.
    tags.write_attribute(good, plistlib.dumps(["Mine\n2"], fmt=plistlib.FMT_BINARY))
    time.sleep(1.5)
    log = (mac.home / "state/logs/ocrd.log").read_text()
    assert log.count('"event": "queued"') == 2 and tags_of(good) == ["Mine\n2"]
    shutil.copyfile(PICTURES / "note.png", broken)  # a valid picture gets the other tag
    wait_until(lambda: mac.status()["jobs"]["done"] == 2, "the fixed file")
    assert tags_of(broken) == ["OCR\n4"]


def test_files_are_not_tagged_when_tags_are_off_or_the_machine_is_not_a_mac(mac: Service) -> None:
    add_settings(mac, finder={"tags": False})
    path = mac.drop("a.png")
    assert mac.run_once() == 0
    assert tags_of(path) == []
    if sys.platform == "darwin":
        return
    mac.configure()
    mac.program = "ocrd"
    other = mac.drop("b.png")
    assert mac.run_once() == 0
    assert tags_of(other) == []


def test_hooks_get_the_event_the_file_and_its_sidecars(service: Service) -> None:
    service.configure(
        on_done=hook(service, "done"),
        on_failed=hook(service, "failed"),
        formats=["txt", "md", "json"],
    )
    good = service.drop("a $(x).png")
    broken = drop_broken(service)
    assert service.run_once() == 3
    ((arguments, variables),) = hook_calls(service, "done")
    assert arguments == ["--first", str(good)]
    assert {k: variables[k] for k in ("OCRD_EVENT", "OCRD_FILE")} == {
        "OCRD_EVENT": "done",
        "OCRD_FILE": str(good),
    }
    for suffix in ("txt", "md", "json"):
        assert Path(variables[f"OCRD_{suffix.upper()}"]) == good.with_name(f"{good.name}.{suffix}")
    ((arguments, variables),) = hook_calls(service, "failed")
    assert arguments == ["--first", str(broken)]
    assert variables["OCRD_REASON"] == "unsupported" and "bad.png" in variables["OCRD_MESSAGE"]
    assert service.run_once() == 0  # no hook runs a second time
    assert len(hook_calls(service, "done")) == len(hook_calls(service, "failed")) == 1


def test_a_submitted_file_has_the_hooks_of_submit(service: Service) -> None:
    add_settings(service, submit={"on_done": hook(service, "submitted")})
    picture = Path(shutil.copyfile(PICTURES / "greeting.png", service.home / "a.png"))
    service.call("submit", str(picture))
    assert service.run_once() == 0
    assert [arguments for arguments, _ in hook_calls(service, "submitted")] == [
        ["--first", str(picture)]
    ]


def test_a_hook_that_fails_or_hangs_is_logged_and_every_file_is_read(service: Service) -> None:
    service.configure(
        {"path": str(service.home / "second"), "settle": 0.3, "hook_seconds": 0.5,
         "on_done": hook(service, "slow", code="time.sleep(60)")},
        on_done=hook(service, "fails", code="print('no room'); sys.exit(9)"),
    )  # fmt: skip
    (service.home / "second").mkdir()
    first = service.drop("a.png")
    second = Path(shutil.copyfile(PICTURES / "note.png", service.home / "second/b.png"))
    started = time.monotonic()
    assert service.run_once() == 0
    assert time.monotonic() - started < 40
    assert all(path.with_name(f"{path.name}.json").exists() for path in (first, second))
    log = (service.home / "state/logs/ocrd.log").read_text()
    assert "it ended with exit code 9" in log and "no room" in log and "longer than 0.5 s" in log


def test_a_hook_that_a_kill_interrupted_runs_at_the_next_start(service: Service) -> None:
    service.configure(
        on_done=hook(service, "done", code="time.sleep(float(open(sys.argv[0] + '.sleep').read()))")
    )
    pace = service.home / "done.py.sleep"
    pace.write_text("60")
    service.drop("a.png")
    service.start()
    wait_until(lambda: hook_calls(service, "done"), "the hook")
    service.stop(signal.SIGKILL)
    pace.write_text("60")
    service.start()
    wait_until(lambda: len(hook_calls(service, "done")) == 2, "the hook again")
    started = time.monotonic()
    assert service.stop() == 0
    assert time.monotonic() - started < 5  # a stop does not wait for the hook
    pace.write_text("0")
    assert service.run_once() == 0
    assert len(hook_calls(service, "done")) == 3
    assert service.run_once() == 0
    assert len(hook_calls(service, "done")) == 3


def test_no_hook_runs_for_the_files_of_a_rebuilt_journal(service: Service) -> None:
    service.drop("a.png")
    assert service.run_once() == 0
    shutil.rmtree(service.home / "state")
    service.configure(on_done=hook(service, "done"))
    assert service.run_once() == 0
    assert hook_calls(service, "done") == [] and service.status()["jobs"]["done"] == 1


def test_one_notification_covers_many_files_and_none_is_sent_by_default(mac: Service) -> None:
    add_settings(mac, finder={"notify": True})
    for number in range(4):
        mac.drop(f'{number} "x.png')
    drop_broken(mac)
    assert mac.run_once() == 3
    (call,) = fake_mac.recorded_calls(mac.home / "mac", "osascript")
    assert call[-1] == "ocrd"
    assert call[-2].startswith("1 failed: bad.png. 4 read: ")
    assert "1 more" in call[-2]
    mac.configure()
    mac.drop("again.png")
    assert mac.run_once() == 0
    assert len(fake_mac.recorded_calls(mac.home / "mac", "osascript")) == 1


def test_the_machine_is_kept_awake_only_while_a_file_is_read(mac: Service) -> None:
    mac.start()
    wait_until(lambda: (mac.status()["engine"] or {}).get("state") == "ready", "the model")
    assert fake_mac.recorded_calls(mac.home / "mac", "caffeinate") == []
    path = mac.drop("a.png")
    mac.wait_for_sidecar(path)
    assert mac.process is not None
    assert fake_mac.recorded_calls(mac.home / "mac", "caffeinate") == [
        ["-i", "-w", str(mac.process.pid)]
    ]

    def caffeinate_processes() -> list[psutil.Process]:
        children = psutil.Process(mac.process.pid).children() if mac.process else []
        return [child for child in children if "caffeinate" in " ".join(child.cmdline())]

    wait_until(lambda: not caffeinate_processes(), "the end of caffeinate")
    add_settings(mac, power={"keep_awake": False})
    mac.stop()
    mac.drop("b.png")
    assert mac.run_once() == 0
    assert len(fake_mac.recorded_calls(mac.home / "mac", "caffeinate")) == 1


def test_an_idle_model_is_unloaded_and_loaded_again_for_the_next_file(service: Service) -> None:
    def is_unloaded() -> bool:
        return (service.status()["engine"] or {}).get("state") == "unloaded"

    service.engine["unload_after"] = 0.5
    service.configure()
    service.start()
    wait_until(is_unloaded, "the model to be unloaded")
    assert service.process is not None and psutil.Process(service.process.pid).children() == []
    assert "unloaded; the model is loaded again" in service.call("status").stdout
    time.sleep(1.0)
    assert psutil.Process(service.process.pid).children() == []  # no file needs the model
    service.wait_for_sidecar(service.drop("a.png"))
    wait_until(is_unloaded, "the model to be unloaded again")
    assert service.stop() == 0
