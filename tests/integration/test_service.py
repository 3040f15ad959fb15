"""The service from its installation to its removal.

Real commands, a real daemon, started by a fake launchd.
"""

from __future__ import annotations

import contextlib
import json
import os
import plistlib
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from ocrd.finder import tags
from tests.fakes import mac as fake_mac
from tests.fakes.launchd import install as fake_launchd
from tests.fork_server.client import run_program, start_program
from tests.integration.conftest import DRAWN, PICTURES, Home, wait_until

T = "gui/501/local.ocrd"


class Mac(Home):
    """A home on a Mac that is none."""

    def __init__(self, home: Path) -> None:
        home.mkdir()
        self.folder = home.parent / "mac"
        super().__init__(home, fake_mac.install(self.folder, home), FAKE_MAC=str(self.folder))
        self.plist = home / "Library/LaunchAgents/local.ocrd.plist"
        self.action = home / "Library/Services/OCR with ocrd.workflow"

    def calls(self) -> list[str]:
        """launchctl's calls since the last time, as lines."""
        path = self.folder / "launchd/calls"
        found = [" ".join(call) for call in fake_mac.launchctl_calls(self.folder)]
        path.unlink(missing_ok=True)
        return found

    def history(self) -> list[dict[str, Any]]:
        path = self.folder / "launchd/history"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def install(self) -> str:
        """On the CPU, wherever the tests run."""
        self.call("init", "--pocket")
        self.config.write_text(self.config.read_text() + '\n[engine]\ndevice = "cpu"\n')
        said = self.call("install")
        self.calls()
        return said

    def everything(self) -> dict[str, bytes | None]:
        """Every file and folder below the home, but the program, and the state and logs, which
        stay.
        """
        kept = [
            self.home / name for name in (".local", "Library/Application Support", "Library/Logs")
        ]
        found = [
            p for p in self.home.rglob("*") if not any(p.is_relative_to(folder) for folder in kept)
        ]
        return {
            str(p.relative_to(self.home)): p.read_bytes() if p.is_file() else None
            for p in sorted(found)
        }


@pytest.fixture
def mac(tmp_path: Path) -> Iterator[Mac]:
    mac = Mac(tmp_path / "me")
    yield mac
    fake_launchd.remove(mac.folder)


@pytest.mark.real_processes
def test_from_install_to_uninstall(mac: Mac) -> None:
    before = mac.everything()
    planned = mac.call("install", "--pocket", "--dry-run")
    assert mac.everything() == before and not mac.calls()
    assert all(
        f"would write {path}" in planned
        for path in (mac.config, mac.plist, mac.action / "Contents/Info.plist")
    )

    said = mac.call("install", "--pocket")
    assert mac.calls() == [
        "print gui/501",
        f"bootout {T}",
        f"enable {T}",
        f"bootstrap gui/501 {mac.plist}",
    ]
    assert (
        f"wrote {mac.config}" in said
        and f"created {mac.inbox}" in said
        and "started the service (launchd, pid" in said
    )
    arguments = plistlib.loads(mac.plist.read_bytes())["ProgramArguments"]
    assert arguments == [str(mac.program), "run", "--config", str(mac.config)]
    assert mac.plist.stat().st_mode & 0o777 == 0o644
    assert fake_mac.recorded_calls(mac.folder, "pbs") == [["-flush"]]

    status = mac.status()
    assert status["running"] and status["by"] == "launchd" and status["service"]["loaded"]
    assert status["service"]["error"] is None and not status["service"]["disabled"]
    wait_until(
        lambda: (mac.status()["engine"] or {}).get("state") == "ready", "the model", patience=100
    )
    shown = mac.call("status")
    assert (
        "installed (launchd), loaded" in shown
        and "ready on " in shown
        and "mode auto, warm since" in shown
    )

    desk = mac.home / "Papers"
    desk.mkdir()
    picture = Path(shutil.copyfile(PICTURES / "greeting.png", desk / "a scan.png"))
    said = mac.call("submit", "--wait", str(picture))
    assert "a scan.png: done" in said
    assert (desk / "a scan.png.txt").read_text().rstrip("\n") == DRAWN["greeting.png"]

    def tag() -> bytes:
        with contextlib.suppress(OSError):
            return tags.read_attribute(picture)
        return b""

    wait_until(tag, "the tag")
    assert tag() == plistlib.dumps(["OCR\n4"], fmt=plistlib.FMT_BINARY)
    dropped = Path(shutil.copyfile(PICTURES / "note.png", mac.inbox / "note.png"))
    wait_until(dropped.with_name("note.png.json").exists, "the sidecar of what was dropped")
    (caffeinated,) = {tuple(call) for call in fake_mac.recorded_calls(mac.folder, "caffeinate")}
    assert caffeinated == ("-i", "-w", str(status["pid"]))
    assert "done" in mac.call("logs") and '"event": "done"' in mac.call(
        "logs", "--json", "-n", "200"
    )

    mac.calls()
    said = mac.call("uninstall")
    assert f"bootout {T}" in (calls := mac.calls()) and calls[-1] == f"enable {T}"
    assert not mac.plist.exists() and not mac.action.exists() and mac.config.exists()
    assert f"kept {mac.inbox}, which is not empty" in said
    assert (desk / "a scan.png.txt").exists() and dropped.exists()
    assert not mac.status()["running"] and [
        e["code"] for e in mac.history() if e["event"] == "exited"
    ] == [0]
    left = mac.everything()
    again = mac.call("uninstall")
    assert "the service was not running" in again and mac.everything() == left


def test_a_second_install_does_nothing_and_a_changed_one_reloads(mac: Mac) -> None:
    mac.install()
    pid = mac.status()["pid"]
    files = mac.everything()
    mac.calls()
    said = mac.call("install")
    assert "the service is already running" in said and "wrote" not in said
    assert (
        mac.calls() == ["print gui/501", f"print {T}", "print-disabled gui/501"]
        and mac.status()["pid"] == pid
    )
    assert mac.everything() == files

    fake_mac.write_script(mac.folder, drain_polls=2)
    mac.environment["HF_ENDPOINT"] = "http://127.0.0.1:9"  # now part of the plist
    mac.calls()
    said = mac.call("install")
    assert f"replaced {mac.plist}" in said and "started the service" in said
    calls = mac.calls()
    assert calls[:2] == ["print gui/501", f"bootout {T}"]
    assert calls[-2:] == [f"enable {T}", f"bootstrap gui/501 {mac.plist}"]
    assert set(calls[2:-2]) == {f"print {T}"} and len(calls[2:-2]) >= 3
    assert mac.status()["pid"] != pid
    assert [e["code"] for e in mac.history() if e["event"] == "exited"] == [0]


def test_what_a_user_edited_is_set_aside_not_overwritten(mac: Mac) -> None:
    mac.install()
    mac.plist.write_text("mine")
    said = mac.call("install")
    assert "(the previous file is now local.ocrd.plist.edited)" in said
    assert mac.plist.with_name("local.ocrd.plist.edited").read_text() == "mine"
    assert plistlib.loads(mac.plist.read_bytes())["Label"] == "local.ocrd"
    flow = mac.action / "Contents/document.wflow"
    flow.write_text("mine too")
    said = mac.call("uninstall")
    assert (
        "which was changed, as document.wflow.edited" in said
        and flow.with_name("document.wflow.edited").exists()
    )


def test_start_stop_and_restart(mac: Mac) -> None:
    assert "run: ocrd install" in mac.call("start", code=7)
    mac.install()
    first = mac.status()["pid"]
    mac.calls()
    assert "already running" in mac.call("start") and mac.calls() == []
    assert "restarted the service" in mac.call("restart")
    assert mac.calls() == [f"print {T}", f"kickstart -k {T}"]
    second = mac.status()["pid"]
    assert second not in (first, None)
    fake_mac.write_script(mac.folder, drain_polls=3)
    mac.calls()
    assert "stopped the service" in mac.call("stop")
    calls = mac.calls()
    assert (
        calls[:2] == [f"print {T}", f"bootout {T}"]
        and set(calls[2:]) == {f"print {T}"}
        and len(calls[2:]) >= 4
    )
    assert not psutil.pid_exists(second) and mac.status()["service"]["loaded"] is False
    assert "was not running" in mac.call("stop")
    assert "stopped; start it with: ocrd start" in mac.call("status")
    assert "started the service" in mac.call("start")
    # Edited by hand: only a reload takes that up.
    plist = plistlib.loads(mac.plist.read_bytes())
    mac.plist.write_bytes(
        plistlib.dumps(plist | {"EnvironmentVariables": plist["EnvironmentVariables"] | {"A": "b"}})
    )
    mac.calls()
    mac.call("restart")
    assert f"bootout {T}" in (calls := mac.calls()) and f"bootstrap gui/501 {mac.plist}" in calls


def test_a_crash_is_restarted_and_the_page_in_hand_is_read_again(mac: Mac) -> None:
    mac.install()
    fake_mac.write_script(mac.folder, throttle=0.2)
    for number in range(5):
        shutil.copyfile(PICTURES / "note.png", mac.inbox / f"{number}.png")
    for _ in range(3):
        wait_until(lambda: mac.status()["running"], "the daemon")
        os.kill(mac.status()["pid"], signal.SIGKILL)
    for number in range(5):
        wait_until((mac.inbox / f"{number}.png.json").exists, f"{number}.png", patience=100)
    assert [e["code"] for e in mac.history() if e["event"] == "exited"] == [-9, -9, -9]
    assert len(list(mac.inbox.glob("*.txt"))) == 5


def test_a_program_that_crashes_at_once_is_said_so_and_recovers_when_it_is_mended(mac: Mac) -> None:
    good = mac.program.read_text()
    (mac.folder / "impatient").touch()
    fake_mac.write_script(mac.folder, throttle=0.3)
    mac.program.write_text(
        good.replace("from tests", "import sys\nif sys.argv[1] == 'run': sys.exit(1)\nfrom tests")
    )
    assert "does not run; check ocrd logs and launchd.log" in mac.call(
        "install", "--pocket", code=7
    )
    ends = [e["code"] for e in mac.history() if e["event"] == "exited"]
    assert len(ends) > 3 and set(ends) == {1}
    mac.program.write_text(good)
    wait_until(lambda: mac.status()["running"], "the next start")
    assert "started the service" in mac.call("install")


def test_what_no_new_start_can_mend_ends_with_0_and_is_said_by_status(mac: Mac) -> None:
    mac.install()
    fake_mac.write_script(mac.folder, throttle=0.2)
    good = mac.config.read_text()
    mac.config.write_text(good + "\n[dance]\n")
    said = mac.call("restart", code=7)
    assert "the service started and ended" in said and "dance" in said
    time.sleep(1.0)
    assert [e["code"] for e in mac.history() if e["event"] == "exited"] == [
        0,
        0,
    ]  # the stop, and no crash loop
    status = mac.status()
    assert not status["running"] and "dance" in status["last_error"]["message"]
    assert "dance" in mac.call("status")
    mac.config.write_text(good)
    mac.calls()
    assert "started the service" in mac.call("start")
    assert mac.calls() == [f"print {T}", f"kickstart {T}"]
    assert mac.status()["last_error"] is None


def test_a_disabled_service_is_enabled_again(mac: Mac) -> None:
    mac.install()
    launchctl = str(mac.folder / "launchctl")
    for arguments in (["disable", T], ["bootout", T]):
        subprocess.run([launchctl, *arguments], env=mac.environment, check=True)
    assert mac.status()["service"]["disabled"] is True
    wait_until(lambda: not mac.status()["service"]["loaded"], "the end")
    assert "started the service" in mac.call("start")
    assert mac.status()["service"]["disabled"] is False


def test_without_a_login_at_the_screen_nothing_is_written_and_the_way_out_is_named(
    mac: Mac,
) -> None:
    fake_mac.write_script(mac.folder, no_domain=["gui/501"])
    before = mac.everything()
    assert "install --domain user" in mac.call("install", "--pocket", code=7)
    assert mac.everything() == before
    assert "started the service" in mac.call("install", "--pocket", "--domain", "user")
    assert "bootstrap user/501" in " ".join(mac.calls())
    assert "restarted" in mac.call("restart")  # the domain is remembered
    mac.calls()
    fake_mac.write_script(mac.folder)
    assert "started the service" in mac.call(
        "install", "--domain", "gui"
    )  # and left when another is asked for
    calls = mac.calls()
    assert "bootout user/501/local.ocrd" in calls and calls.index(
        "bootout user/501/local.ocrd"
    ) < calls.index(f"bootstrap gui/501 {mac.plist}")


def test_an_interrupted_installation_is_finished_by_the_next_and_removed_whole(mac: Mac) -> None:
    """launchctl fails in the middle, as a kill would leave it.

    Files are there, the service is not.
    """
    answers = [{"verb": "bootstrap", "code": 64, "stderr": "no", "times": 1}]
    before = mac.everything()
    fake_mac.write_script(mac.folder, answers=answers)
    assert "bootstrap" in mac.call("install", "--pocket", code=7)
    assert "started the service" in mac.call("install")
    mac.call("uninstall")
    mac.config.unlink()
    left = {
        name for name, data in mac.everything().items() if name not in before and data is not None
    }
    assert left == set()
    assert not mac.inbox.exists()  # it was made by the installation, and was empty


def test_a_daemon_that_was_started_by_hand_is_not_fought_with(mac: Mac) -> None:
    mac.call("init", "--pocket")
    with (mac.home / "log").open("wb") as log:
        daemon = start_program(mac.program, "run", environment=mac.environment, stderr=log)
    try:
        wait_until(lambda: mac.status()["pid"], "the daemon")
        assert f"started by hand and is running (pid {daemon.pid})" in mac.call("install", code=7)
        assert f"started by hand and is running (pid {daemon.pid})" in mac.call("stop", code=7)
        assert daemon.poll() is None
    finally:
        daemon.terminate()
        assert daemon.wait(20) == 0
    assert "started the service" in mac.call("start")


def test_it_ends_within_five_seconds_in_the_middle_of_a_page_and_goes_on_there(mac: Mac) -> None:
    mac.install()
    for number in range(12):
        shutil.copyfile(PICTURES / "receipt.png", mac.inbox / f"{number}.png")
    wait_until(lambda: mac.status()["jobs"]["running"], "a page in hand", patience=100)
    started = time.monotonic()
    mac.call("stop")
    assert time.monotonic() - started < 6
    assert [e["code"] for e in mac.history() if e["event"] == "exited"] == [0]
    assert mac.status()["jobs"]["running"] == 0
    mac.call("start")
    for number in range(12):
        wait_until((mac.inbox / f"{number}.png.json").exists, f"{number}.png", patience=100)


def test_the_doctor_knows_a_service_whose_program_is_gone(mac: Mac) -> None:
    def found() -> tuple[str, str]:
        said = run_program(mac.program, "doctor", "--json", environment=mac.environment)
        (service,) = [f for f in json.loads(said.stdout)["findings"] if f["name"] == "service"]
        return service["state"], service["found"]

    assert found() == ("ok", "not installed")
    mac.install()
    assert found() == ("ok", f"installed (launchd); it starts {mac.program}")
    mac.call("stop")
    assert found()[0] == "warn"
    plist = plistlib.loads(mac.plist.read_bytes())
    mac.plist.write_bytes(
        plistlib.dumps(plist | {"ProgramArguments": ["/gone/ocrd", *plist["ProgramArguments"][1:]]})
    )
    assert found() == ("fail", "its program /gone/ocrd does not exist")


def test_launchds_log_is_emptied_at_each_start(mac: Mac) -> None:
    mac.install()
    (log,) = mac.home.rglob("launchd.log")
    log.write_text("what was printed long ago\n" * 100)
    mac.call("restart")
    assert "long ago" not in log.read_text()
    (ours,) = mac.home.rglob("ocrd.log")
    assert "watching the inbox" in ours.read_text() and "watching the inbox" not in log.read_text()


def test_whatever_ends_it_unforeseen_is_said_by_status(mac: Mac) -> None:
    """A folder where the log should be: nobody's error class, and nothing logged of it."""
    mac.install()
    mac.call("stop")
    (ours,) = mac.home.rglob("ocrd.log")
    ours.unlink()
    ours.mkdir()
    (mac.folder / "impatient").touch()
    fake_mac.write_script(mac.folder, throttle=0.2)
    assert "IsADirectoryError" in mac.call("start", code=7)
    assert "IsADirectoryError" in mac.call("status")
    ours.rmdir()
    wait_until(lambda: mac.status()["running"], "the next start")


@pytest.mark.real_processes
def test_a_module_of_the_users_in_the_services_folder_is_none_of_ours(mac: Mac) -> None:
    """Its folder is the user's home, where a queue.py or a torch/ may lie."""
    for name in ("queue.py", "json.py", "torch.py"):
        (mac.home / name).write_text("raise RuntimeError('somebody else\\'s module was run')")
    mac.install()
    picture = Path(shutil.copyfile(PICTURES / "greeting.png", mac.inbox / "a.png"))
    wait_until(picture.with_name("a.png.json").exists, "the sidecar", patience=100)


def test_a_second_install_keeps_the_configuration_that_the_service_has(mac: Mac) -> None:
    other = mac.home / "else/c.toml"
    assert "started" in mac.call("install", "--pocket", "--config", str(other))
    assert f"kept {other}" in (said := mac.call("install")) and "already running" in said
    assert not mac.config.exists()
    assert mac.status()["model"]["folder"].endswith("/pocket")
