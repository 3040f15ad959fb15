"""Installing, reinstalling and uninstalling, with real commands and a real daemon."""

from __future__ import annotations

import contextlib
import plistlib
import shutil
from pathlib import Path

import pytest

from ocrd.errors import ExitCode
from ocrd.finder import tags
from tests.demo_pictures import DRAWN, PICTURES
from tests.fakes import mac as fake_mac
from tests.integration.conftest import wait_until
from tests.integration.service.mac_home import BOOTOUT, ENABLE, PRINT, MacHome


def test_a_dry_run_names_every_file_and_changes_nothing(mac: MacHome) -> None:
    before = mac.contents()
    planned = mac.call("install", "--pocket", "--dry-run")
    assert mac.contents() == before
    assert not mac.take_calls()
    assert all(line.startswith("would ") for line in planned.splitlines())
    for path in (mac.config, mac.plist, mac.quick_action / "Contents/Info.plist"):
        assert f"would write {path}" in planned


@pytest.mark.real_processes
def test_from_install_to_uninstall(mac: MacHome) -> None:
    output = mac.call("install", "--pocket")
    assert mac.take_calls() == ["print gui/501", BOOTOUT, ENABLE, mac.bootstrap]
    assert f"wrote {mac.config}" in output
    assert f"created {mac.inbox}" in output
    assert "started the service (launchd, pid" in output
    arguments = plistlib.loads(mac.plist.read_bytes())["ProgramArguments"]
    assert arguments == [str(mac.program), "run", "--config", str(mac.config)]
    assert mac.plist.stat().st_mode & 0o777 == 0o644
    assert fake_mac.recorded_calls(mac.folder, "pbs") == [["-flush"]]

    assert_status_of_running_service(mac)
    submitted = submit_a_picture(mac)
    dropped = Path(shutil.copyfile(PICTURES / "note.png", mac.inbox / "note.png"))
    wait_until(dropped.with_name("note.png.json").exists, "the dropped picture's sidecar")
    pid = str(mac.status()["pid"])
    calls = fake_mac.recorded_calls(mac.folder, "caffeinate")
    assert {tuple(call) for call in calls} == {("-i", "-w", pid)}
    assert "done" in mac.call("logs")
    assert '"event": "done"' in mac.call("logs", "--json", "-n", "200")

    mac.take_calls()
    output = mac.call("uninstall")
    calls_of_uninstall = mac.take_calls()
    assert BOOTOUT in calls_of_uninstall
    assert calls_of_uninstall[-1] == ENABLE
    assert not mac.plist.exists()
    assert not mac.quick_action.exists()
    assert mac.config.exists()
    assert f"kept {mac.inbox}, which is not empty" in output
    assert submitted.with_name(f"{submitted.name}.txt").exists()
    assert dropped.exists()
    assert not mac.status()["running"]
    assert mac.exit_codes() == [0]
    left = mac.contents()
    assert "the service was not running" in mac.call("uninstall")
    assert mac.contents() == left


def assert_status_of_running_service(mac: MacHome) -> None:
    status = mac.status()
    assert status["running"]
    assert status["by"] == "launchd"
    assert status["service"]["loaded"]
    assert status["service"]["error"] is None
    assert not status["service"]["disabled"]
    wait_until(
        lambda: (mac.status()["engine"] or {}).get("state") == "ready", "the model", timeout_s=100
    )
    shown = mac.call("status")
    assert "installed (launchd), loaded" in shown
    assert "ready on " in shown
    assert "mode auto, warm since" in shown


def submit_a_picture(mac: MacHome) -> Path:
    """Submit a picture outside the inbox and check its sidecar and its tag."""
    folder = mac.home / "Papers"
    folder.mkdir()
    picture = Path(shutil.copyfile(PICTURES / "greeting.png", folder / "a scan.png"))
    assert "a scan.png: done" in mac.call("submit", "--wait", str(picture))
    assert (folder / "a scan.png.txt").read_text().rstrip("\n") == DRAWN["greeting.png"]

    def tag() -> bytes:
        with contextlib.suppress(OSError):
            return tags.read_attribute(picture)
        return b""

    wait_until(tag, "the tag")
    assert tag() == plistlib.dumps(["OCR\n4"], fmt=plistlib.FMT_BINARY)
    return picture


def test_a_second_installation_does_nothing(mac: MacHome) -> None:
    mac.install()
    pid = mac.status()["pid"]
    files = mac.contents()
    mac.take_calls()
    output = mac.call("install")
    assert "the service is already running" in output
    assert "wrote" not in output
    assert mac.take_calls() == ["print gui/501", PRINT, "print-disabled gui/501"]
    assert mac.status()["pid"] == pid
    assert mac.contents() == files


def test_an_installation_with_a_changed_file_loads_the_service_again(mac: MacHome) -> None:
    mac.install()
    pid = mac.status()["pid"]
    mac.write_script(drain_polls=2)
    mac.environment["HF_ENDPOINT"] = "http://127.0.0.1:9"  # now part of the plist
    mac.take_calls()
    output = mac.call("install")
    assert f"replaced {mac.plist}" in output
    assert "started the service" in output
    first, second, *polls, enable, bootstrap = mac.take_calls()
    assert [first, second] == ["print gui/501", BOOTOUT]
    assert [enable, bootstrap] == [ENABLE, mac.bootstrap]
    assert set(polls) == {PRINT}
    assert len(polls) >= 3
    assert mac.status()["pid"] != pid
    assert mac.exit_codes() == [0]


def test_a_second_installation_keeps_the_configuration_of_the_service(mac: MacHome) -> None:
    other = mac.home / "else/c.toml"
    assert "started" in mac.call("install", "--pocket", "--config", str(other))
    output = mac.call("install")
    assert f"kept {other}" in output
    assert "already running" in output
    assert not mac.config.exists()
    assert mac.status()["model"]["folder"].endswith("/pocket")


def test_an_edited_file_is_renamed_and_not_overwritten(mac: MacHome) -> None:
    mac.install()
    mac.plist.write_text("mine")
    output = mac.call("install")
    assert "(the previous file is now local.ocrd.plist.edited)" in output
    assert mac.plist.with_name("local.ocrd.plist.edited").read_text() == "mine"
    assert plistlib.loads(mac.plist.read_bytes())["Label"] == "local.ocrd"
    workflow = mac.quick_action / "Contents/document.wflow"
    workflow.write_text("mine too")
    output = mac.call("uninstall")
    assert "which was changed, as document.wflow.edited" in output
    assert workflow.with_name("document.wflow.edited").exists()


def test_an_interrupted_installation_is_completed_by_the_next_and_removed_completely(
    mac: MacHome,
) -> None:
    """As after a kill: the files exist, and launchctl did not load the service."""
    before = mac.contents()
    mac.write_script(answers=[{"verb": "bootstrap", "code": 64, "stderr": "no", "times": 1}])
    assert "bootstrap" in mac.call("install", "--pocket", code=ExitCode.SERVICE)
    assert "started the service" in mac.call("install")
    mac.call("uninstall")
    mac.config.unlink()
    left = {name for name, data in mac.contents().items() if data is not None}
    assert left <= set(before)
    assert not mac.inbox.exists()  # the installation created it, and it was empty


def test_without_a_login_at_the_screen_nothing_is_written_and_the_other_domain_is_offered(
    mac: MacHome,
) -> None:
    mac.write_script(no_domain=["gui/501"])
    before = mac.contents()
    output = mac.call("install", "--pocket", code=ExitCode.SERVICE)
    assert "install --domain user" in output
    assert mac.contents() == before


def test_the_domain_is_remembered_and_left_when_another_is_chosen(mac: MacHome) -> None:
    mac.write_script(no_domain=["gui/501"])
    assert "started the service" in mac.call("install", "--pocket", "--domain", "user")
    assert "bootstrap user/501" in " ".join(mac.take_calls())
    assert "restarted" in mac.call("restart")
    mac.take_calls()
    mac.write_script()
    assert "started the service" in mac.call("install", "--domain", "gui")
    calls = mac.take_calls()
    assert calls.index("bootout user/501/local.ocrd") < calls.index(mac.bootstrap)
