"""``ocrd doctor`` beside a real daemon."""

from __future__ import annotations

import json

from tests.integration.conftest import Service, wait_until


def test_the_daemon_and_the_foreground_are_compared_and_nothing_is_left(service: Service) -> None:
    without = service.call("doctor", "--bench")
    assert (
        without.returncode == 7
        and "no daemon is running" in without.stderr
        and "Traceback" not in without.stderr
    )
    assert "torch" in without.stdout  # what was found is shown all the same
    service.start()
    wait_until(lambda: (service.status()["engine"] or {}).get("state") == "ready", "the engine")
    done = service.call("doctor", "--bench", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert all(finding["state"] != "fail" for finding in said["findings"])
    assert {f["name"] for f in said["findings"]} >= {
        "torch",
        "plan",
        "inbox",
        "model",
        "daemon",
        "engine",
    }
    assert 0 < said["bench"]["daemon"] < said["bench"]["whole"] and said["bench"]["foreground"] > 0
    assert list(service.inbox.iterdir()) == []
    assert service.stop() == 0
    shown = service.call("doctor")
    assert shown.returncode == 0 and "not running" in shown.stdout


def test_a_broken_journal_and_an_impossible_inbox_are_findings_among_others(
    service: Service,
) -> None:
    (service.home / "state").mkdir()
    (service.home / "state/journal.sqlite3").write_text(
        "this is no database, whatever its name says" * 100
    )
    service.configure(path=str(service.home / ("y" * 300)))
    done = service.call("doctor", "--json")
    assert "Traceback" not in done.stderr and done.returncode in (4, 7)
    states = {finding["name"]: finding["state"] for finding in json.loads(done.stdout)["findings"]}
    assert (
        states["journal"] == states["inbox"] == "fail"
        and states["model"] == states["torch"] == "ok"
    )


def test_a_device_that_is_not_there_ends_with_6_and_what_to_mend(service: Service) -> None:
    service.engine = {"device": "mps"}
    service.configure()
    done = service.call("doctor")
    assert (
        done.returncode == 6
        and "engine.device is 'mps'" in done.stdout
        and "mend engine.device" in done.stdout
    )
