"""What comes after a reading, with the real daemon.

Tags, hooks, notifications; and what it does about power.
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

import pytest
import tomli_w

from ocrd.finder import tags
from tests.demo_pictures import PICTURES
from tests.fakes import mac as fake_mac
from tests.integration.conftest import Service, wait_until


@pytest.fixture
def mac(service: Service) -> Service:
    """The daemon on a machine that says it is a Mac."""
    (service.home / "me").mkdir()
    fake_mac.install(service.home / "mac", service.home / "me")
    service.program = "tests.fakes.mac"
    service.environment["FAKE_MAC"] = str(service.home / "mac")
    return service


def hook(service: Service, name: str, *, code: str = "") -> list[str]:
    """A hook that writes down what it is told, then does as ``code`` says."""
    script = service.home / f"{name}.py"
    told = service.home / f"{name}.told"
    script.write_text(
        "import json, os, sys, time\n"
        f"with open({str(told)!r}, 'a') as file:\n"
        "    variables = {k: v for k, v in os.environ.items() if k.startswith('OCRD_')}\n"
        "    print(json.dumps([sys.argv[1:], variables]), file=file)\n" + code
    )
    return [sys.executable, str(script), "--first"]


def told(service: Service, name: str) -> list[tuple[list[str], dict[str, str]]]:
    path = service.home / f"{name}.told"
    return (
        [tuple(json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []
    )


def bad(service: Service, name: str = "bad.png") -> Path:
    path = service.inbox / name
    path.write_text("no picture")
    os.utime(path, (0, 0))
    return path


def add(service: Service, **tables: dict[str, Any]) -> None:
    service.config.write_text(service.config.read_text() + "\n" + tomli_w.dumps(tables))


def tags_of(path: Path) -> list[str]:
    """Empty where it has none."""
    try:
        return tags.parse_tags(tags.read_attribute(path))
    except OSError:
        return []


def test_files_are_tagged_and_a_tag_makes_nothing_read_again(mac: Service) -> None:
    good = mac.drop("good.png")
    broken = bad(mac)
    tags.write_attribute(good, plistlib.dumps(["Mine\n2"], fmt=plistlib.FMT_BINARY))
    mac.start()
    mac.wait_for_sidecar(good)
    wait_until(
        lambda: mac.status()["jobs"]["failed"] == 1 and mac.status()["jobs"]["done"] == 1,
        "both ends",
    )
    assert tags_of(good) == ["Mine\n2", "OCR\n4"] and tags_of(broken) == ["OCR failed\n6"]
    tags.write_attribute(
        good, plistlib.dumps(["Mine\n2"], fmt=plistlib.FMT_BINARY)
    )  # as a user would, in Finder
    time.sleep(1.5)
    log = (mac.home / "state/logs/ocrd.log").read_text()
    assert log.count('"event": "queued"') == 2 and tags_of(good) == ["Mine\n2"]
    shutil.copyfile(PICTURES / "note.png", broken)  # mended: the other tag
    wait_until(lambda: mac.status()["jobs"]["done"] == 2, "the mended one")
    assert tags_of(broken) == ["OCR\n4"]


def test_elsewhere_and_where_they_are_switched_off_there_are_no_tags(mac: Service) -> None:
    add(mac, finder={"tags": False})
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


def test_hooks_are_told_of_each_end_with_the_sidecars_that_are_there(service: Service) -> None:
    service.configure(
        on_done=hook(service, "done"),
        on_failed=hook(service, "failed"),
        formats=["txt", "md", "json"],
    )
    good = service.drop("a $(x).png")
    broken = bad(service)
    assert service.run_once() == 3
    ((arguments, variables),) = told(service, "done")
    assert arguments == ["--first", str(good)]
    assert {k: variables[k] for k in ("OCRD_EVENT", "OCRD_FILE")} == {
        "OCRD_EVENT": "done",
        "OCRD_FILE": str(good),
    }
    for suffix in ("txt", "md", "json"):
        assert Path(variables[f"OCRD_{suffix.upper()}"]) == good.with_name(f"{good.name}.{suffix}")
    ((arguments, variables),) = told(service, "failed")
    assert arguments == ["--first", str(broken)]
    assert variables["OCRD_REASON"] == "unsupported" and "bad.png" in variables["OCRD_MESSAGE"]
    assert service.run_once() == 0  # and never again
    assert len(told(service, "done")) == len(told(service, "failed")) == 1


def test_a_submitted_file_has_the_hooks_of_submit(service: Service) -> None:
    add(service, submit={"on_done": hook(service, "submitted")})
    picture = Path(shutil.copyfile(PICTURES / "greeting.png", service.home / "a.png"))
    service.call("submit", str(picture))
    assert service.run_once() == 0
    assert [arguments for arguments, _ in told(service, "submitted")] == [["--first", str(picture)]]


def test_a_hook_that_fails_or_hangs_costs_no_file_and_is_in_the_log(service: Service) -> None:
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


def test_a_hook_that_a_kill_came_before_runs_at_the_next_start(service: Service) -> None:
    service.configure(
        on_done=hook(service, "done", code="time.sleep(float(open(sys.argv[0] + '.sleep').read()))")
    )
    pace = service.home / "done.py.sleep"
    pace.write_text("60")
    service.drop("a.png")
    service.start()
    wait_until(lambda: told(service, "done"), "the hook")
    service.stop(signal.SIGKILL)
    pace.write_text("60")
    service.start()
    wait_until(lambda: len(told(service, "done")) == 2, "the hook again")
    started = time.monotonic()
    assert service.stop() == 0 and time.monotonic() - started < 5  # a stop does not wait for it
    pace.write_text("0")
    assert service.run_once() == 0
    assert len(told(service, "done")) == 3
    assert service.run_once() == 0
    assert len(told(service, "done")) == 3


def test_a_rebuilt_journal_tells_nobody_of_what_was_read_long_ago(service: Service) -> None:
    service.drop("a.png")
    assert service.run_once() == 0
    shutil.rmtree(service.home / "state")
    service.configure(on_done=hook(service, "done"))
    assert service.run_once() == 0
    assert told(service, "done") == [] and service.status()["jobs"]["done"] == 1


def test_notifications_are_asked_for_and_one_for_many(mac: Service) -> None:
    add(mac, finder={"notify": True})
    for number in range(4):
        mac.drop(f'{number} "x.png')
    bad(mac)
    assert mac.run_once() == 3
    (call,) = fake_mac.recorded_calls(mac.home / "mac", "osascript")
    assert (
        call[-1] == "ocrd"
        and call[-2].startswith("1 failed: bad.png. 4 read: ")
        and "1 more" in call[-2]
    )
    mac.configure()
    mac.drop("again.png")
    assert mac.run_once() == 0
    assert len(fake_mac.recorded_calls(mac.home / "mac", "osascript")) == 1


def test_the_machine_is_kept_awake_while_it_reads_and_not_beyond(mac: Service) -> None:
    mac.start()
    wait_until(lambda: (mac.status()["engine"] or {}).get("state") == "ready", "the model")
    assert fake_mac.recorded_calls(mac.home / "mac", "caffeinate") == []
    path = mac.drop("a.png")
    mac.wait_for_sidecar(path)
    assert mac.process is not None
    assert fake_mac.recorded_calls(mac.home / "mac", "caffeinate") == [
        ["-i", "-w", str(mac.process.pid)]
    ]
    import psutil

    def awake() -> list[Any]:
        children = psutil.Process(mac.process.pid).children() if mac.process else []
        return [child for child in children if "caffeinate" in " ".join(child.cmdline())]

    wait_until(lambda: not awake(), "the end of caffeinate")
    add(mac, power={"keep_awake": False})
    mac.stop()
    mac.drop("b.png")
    assert mac.run_once() == 0
    assert len(fake_mac.recorded_calls(mac.home / "mac", "caffeinate")) == 1


def test_the_model_is_unloaded_after_its_time_and_comes_back_for_the_next_file(
    service: Service,
) -> None:
    service.engine["unload_after"] = 0.5
    service.configure()
    service.start()
    wait_until(
        lambda: (service.status()["engine"] or {}).get("state") == "unloaded", "the unloading"
    )
    import psutil

    assert service.process is not None and psutil.Process(service.process.pid).children() == []
    assert "unloaded; the model is loaded again" in service.call("status").stdout
    time.sleep(1.0)
    assert psutil.Process(service.process.pid).children() == []  # it does not load for nothing
    service.wait_for_sidecar(service.drop("a.png"))
    wait_until(
        lambda: (service.status()["engine"] or {}).get("state") == "unloaded", "the unloading again"
    )
    assert service.stop() == 0
