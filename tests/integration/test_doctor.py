"""``ocrd doctor`` next to a real daemon."""

from __future__ import annotations

import json

from ocrd.errors import ExitCode
from tests.integration.conftest import Service, wait_until


def test_the_benchmark_compares_daemon_and_foreground_and_leaves_nothing_behind(
    service: Service,
) -> None:
    without_daemon = service.call("doctor", "--bench")
    assert without_daemon.returncode == ExitCode.SERVICE
    assert "no daemon is running" in without_daemon.stderr
    assert "Traceback" not in without_daemon.stderr
    assert "torch" in without_daemon.stdout  # the findings are shown nevertheless
    service.start()
    wait_until(lambda: (service.status()["engine"] or {}).get("state") == "ready", "the engine")
    completed = service.call("doctor", "--bench", "--json")
    assert completed.returncode == ExitCode.DONE, completed.stderr
    document = json.loads(completed.stdout)
    assert all(finding["state"] != "fail" for finding in document["findings"])
    names = {finding["name"] for finding in document["findings"]}
    assert names >= {"torch", "plan", "inbox", "model", "daemon", "engine"}
    times = document["bench"]
    assert 0 < times["daemon"] < times["whole"]
    assert times["foreground"] > 0
    assert list(service.inbox.iterdir()) == []
    assert service.stop() == 0
    after_stop = service.call("doctor")
    assert after_stop.returncode == ExitCode.DONE
    assert "not running" in after_stop.stdout


def test_a_broken_journal_and_an_impossible_inbox_do_not_stop_the_other_checks(
    service: Service,
) -> None:
    (service.home / "state").mkdir()
    (service.home / "state/journal.sqlite3").write_text("this is not a database" * 100)
    service.configure(path=str(service.home / ("y" * 300)))
    completed = service.call("doctor", "--json")
    assert "Traceback" not in completed.stderr
    assert completed.returncode in (ExitCode.CONFIGURATION, ExitCode.SERVICE)
    findings = json.loads(completed.stdout)["findings"]
    states = {finding["name"]: finding["state"] for finding in findings}
    assert states["journal"] == states["inbox"] == "fail"
    assert states["model"] == states["torch"] == "ok"


def test_a_missing_device_ends_with_its_exit_code_and_advice(service: Service) -> None:
    service.engine = {"device": "mps"}
    service.configure()
    completed = service.call("doctor")
    assert completed.returncode == ExitCode.ENGINE
    assert "engine.device is 'mps'" in completed.stdout
    assert "fix engine.device" in completed.stdout
