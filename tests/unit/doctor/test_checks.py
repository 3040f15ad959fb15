"""What the doctor finds, and what it says to do.

Torch's answers are made up here, the folders are real.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ocrd.config import Config, parse_config
from ocrd.doctor.checks import Finding, ask_torch, examine
from ocrd.inbox.access import folder_error
from ocrd.journal import Journal

CPU = {"device": "cpu", "dtype": "float32", "why": "needs 16.9 GB of 22.7 GB"}
MACHINE = {"memory": 24 * 10**9, "mps": False, "cuda": 0, "cuda_bfloat16": False}
WELL = {"machine": MACHINE, "candidates": [CPU], "refused": []}


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Config]:
    monkeypatch.setenv("OCRD_STATE_DIR", str(tmp_path / "state"))
    for name in ("in", "out", "state"):
        (tmp_path / name).mkdir()
    inbox = {"path": str(tmp_path / "in"), "output": str(tmp_path / "out")}
    yield parse_config({"model": {"path": "pocket"}, "inbox": [inbox]}, "test")


def found(config: Config, said: dict[str, Any] = WELL) -> dict[str, Finding]:
    return {finding.name: finding for finding in examine(config, lambda _: said)}


def test_all_is_well_but_that_no_daemon_runs(config: Config) -> None:
    findings = found(config)
    assert [f.name for f in findings.values() if f.state != "ok"] == ["logs", "daemon"]
    assert "ocrd run" in findings["daemon"].advice
    assert findings["plan"].found == "cpu in float32 (needs 16.9 GB of 22.7 GB)"
    assert findings["devices"].found == "CPU; 24.0 GB of memory"


def test_the_plan_is_said_in_its_order_with_its_reasons(config: Config) -> None:
    mps = {"device": "mps", "dtype": "float32", "why": "needs 16.9 GB of 25.8 GB"}
    findings = found(config, WELL | {"machine": MACHINE | {"mps": True}, "candidates": [mps, CPU]})
    assert findings["devices"].found.startswith("MPS, CPU;")
    assert findings["plan"].found.startswith(
        "mps in float32 (needs 16.9 GB of 25.8 GB); then cpu in float32"
    )


def test_a_machine_that_is_too_small_is_warned(config: Config) -> None:
    findings = found(config, WELL | {"candidates": [CPU | {"why": "the last resort"}]})
    assert findings["plan"].state == "warn" and "very slow" in findings["plan"].advice


def test_a_device_that_is_not_there_fails_with_6(config: Config) -> None:
    findings = found(
        config,
        {"machine": MACHINE, "error": "engine.device is 'mps', but this machine has only: cpu"},
    )
    assert (findings["plan"].state, findings["plan"].exit_code) == ("fail", 6)


def test_torch_itself_is_asked_in_a_process_of_its_own(config: Config) -> None:
    said = ask_torch(config)
    assert said["machine"]["memory"] > 10**9 and said["candidates"][-1]["device"] == "cpu"
    wrong = config.model_copy(update={"engine": config.engine.model_copy(update={"device": "mps"})})
    assert "engine.device is 'mps'" in ask_torch(wrong)["error"]


def test_a_folder_that_cannot_be_used_fails_with_4(config: Config, tmp_path: Path) -> None:
    (tmp_path / "out").rmdir()
    (tmp_path / "out").write_text("a file")
    finding = found(config)["output"]
    assert (finding.state, finding.exit_code) == (
        "fail",
        4,
    ) and "it is not a folder" in finding.found


def test_what_the_daemon_is_refused_is_told_though_this_command_may(
    config: Config, tmp_path: Path
) -> None:
    from ocrd.control.lock import single_instance

    journal = Journal(tmp_path / "state")
    was_not_there = {
        str(tmp_path / "state"): "it does not exist"
    }  # when the daemon started; it is now
    refused = {str(tmp_path / "in"): "Operation not permitted", str(tmp_path / "out"): None}
    journal.set_fact("folders", refused | was_not_there)
    journal.set_fact("daemon", {"pid": 1})
    journal.set_fact("engine", {"state": "ready", "device": "cpu", "dtype": "float32", "mode": "native",
                                "skipped": ["mps in float32 (mps-dtype: clash)"]})  # fmt: skip
    with single_instance(tmp_path / "state"):
        findings = found(config)
    journal.close()
    assert (
        findings["inbox"].state == "fail"
        and "the daemon is refused: Operation not permitted" in findings["inbox"].found
    )
    assert "Privacy & Security" in findings["inbox"].advice
    assert (
        "this command and the daemon" in findings["output"].found
        and findings["state"].state == "ok"
    )
    assert findings["daemon"].state == "ok" and findings["skipped device"].state == "warn"


def test_a_broken_model_fails_with_5_and_a_missing_one_is_only_not_there_yet(
    config: Config, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    mine = config.model_copy(
        update={"model": config.model.model_copy(update={"path": str(tmp_path / "mine")})}
    )
    assert (found(mine)["model"].state, found(mine)["model"].exit_code) == ("fail", 5)
    managed = config.model_copy(update={"model": config.model.model_copy(update={"path": None})})
    assert (
        found(managed)["model"].state == "warn"
        and "ocrd model heal" in found(managed)["model"].advice
    )


def test_looking_leaves_nothing_behind(config: Config, tmp_path: Path) -> None:
    before = sorted(p for p in tmp_path.rglob("*"))
    found(config)
    assert sorted(p for p in tmp_path.rglob("*")) == before
    assert (
        folder_error(tmp_path / "in") is None
        and folder_error(tmp_path / "nowhere") == "it does not exist"
    )
