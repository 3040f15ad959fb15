"""A service that does not start is reported, and it recovers after a fix."""

from __future__ import annotations

import json
import plistlib
import time

from ocrd.errors import ExitCode
from tests.fork_server.client import run_program
from tests.integration.conftest import wait_until
from tests.integration.service.mac_home import KICKSTART, PRINT, MacHome


def test_a_program_that_crashes_when_it_starts_is_reported_and_recovers_when_it_is_fixed(
    mac: MacHome,
) -> None:
    good = mac.program.read_text()
    mac.shorten_start_timeouts()
    mac.write_script(throttle=0.3)
    crash = "import sys\nif sys.argv[1] == 'run': sys.exit(1)\nfrom tests"
    mac.program.write_text(good.replace("from tests", crash))
    output = mac.call("install", "--pocket", code=ExitCode.SERVICE)
    assert "does not run; check ocrd logs and launchd.log" in output
    exit_codes = mac.exit_codes()
    assert len(exit_codes) > 3
    assert set(exit_codes) == {1}
    mac.program.write_text(good)
    wait_until(lambda: mac.status()["running"], "the next start")
    assert "started the service" in mac.call("install")


def test_a_permanent_error_ends_with_0_and_is_shown_by_status(mac: MacHome) -> None:
    mac.install()
    mac.write_script(throttle=0.2)
    good = mac.config.read_text()
    mac.config.write_text(good + "\n[dance]\n")
    output = mac.call("restart", code=ExitCode.SERVICE)
    assert "the service started and ended" in output
    assert "dance" in output
    time.sleep(1.0)
    assert mac.exit_codes() == [0, 0]  # the stop and one start, not a crash loop
    status = mac.status()
    assert not status["running"]
    assert "dance" in status["last_error"]["message"]
    assert "dance" in mac.call("status")
    mac.config.write_text(good)
    mac.take_calls()
    assert "started the service" in mac.call("start")
    assert mac.take_calls() == [PRINT, KICKSTART]
    assert mac.status()["last_error"] is None


def test_an_unexpected_error_is_shown_by_status(mac: MacHome) -> None:
    """The log is a folder. ocrd has no error class for this and cannot log it."""
    mac.install()
    mac.call("stop")
    (log,) = mac.home.rglob("ocrd.log")
    log.unlink()
    log.mkdir()
    mac.shorten_start_timeouts()
    mac.write_script(throttle=0.2)
    assert "IsADirectoryError" in mac.call("start", code=ExitCode.SERVICE)
    assert "IsADirectoryError" in mac.call("status")
    log.rmdir()
    wait_until(lambda: mac.status()["running"], "the next start")


def test_the_doctor_reports_a_stopped_service_and_one_without_its_program(mac: MacHome) -> None:
    def service_finding() -> tuple[str, str]:
        completed = run_program(mac.program, "doctor", "--json", environment=mac.environment)
        findings = json.loads(completed.stdout)["findings"]
        (finding,) = [finding for finding in findings if finding["name"] == "service"]
        return finding["state"], finding["found"]

    assert service_finding() == ("ok", "not installed")
    mac.install()
    assert service_finding() == ("ok", f"installed (launchd); it starts {mac.program}")
    mac.call("stop")
    assert service_finding()[0] == "warn"
    _, *arguments = plistlib.loads(mac.plist.read_bytes())["ProgramArguments"]
    mac.edit_plist(ProgramArguments=["/gone/ocrd", *arguments])
    assert service_finding() == ("fail", "its program /gone/ocrd does not exist")
