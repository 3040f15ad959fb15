"""What the doctor finds, and what it advises. PyTorch's answers are scripted, folders are real."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ocrd.config import Config, parse_config
from ocrd.control.lock import single_instance
from ocrd.doctor.checks import run_checks
from ocrd.doctor.engine import probe_torch
from ocrd.doctor.finding import Finding
from ocrd.errors import ExitCode
from ocrd.inbox.access import folder_error
from ocrd.journal import Journal
from ocrd.status import DaemonStatus, EngineReady
from ocrd.types import BackendInfo, ModelIdentity

CPU = {"device": "cpu", "dtype": "float32", "reason": "needs 16.9 GB of 22.7 GB"}
MPS = {"device": "mps", "dtype": "float32", "reason": "needs 16.9 GB of 25.8 GB"}
MACHINE = {"memory_bytes": 24 * 10**9, "mps": False, "cuda_bytes": 0, "cuda_bfloat16": False}
CPU_ONLY = {"machine": MACHINE, "candidates": [CPU], "rejected": []}


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.setenv("OCRD_STATE_DIR", str(tmp_path / "state"))
    for name in ("in", "out", "state"):
        (tmp_path / name).mkdir()
    inbox = {"path": str(tmp_path / "in"), "output": str(tmp_path / "out")}
    return parse_config({"model": {"path": "pocket"}, "inbox": [inbox]}, "test")


def findings_by_name(config: Config, answer: dict[str, Any] = CPU_ONLY) -> dict[str, Finding]:
    return {finding.name: finding for finding in run_checks(config, lambda _: answer)}


def test_without_problems_only_the_missing_daemon_and_logs_are_reported(config: Config) -> None:
    findings = findings_by_name(config)
    assert [f.name for f in findings.values() if f.state != "ok"] == ["logs", "daemon"]
    assert "ocrd run" in findings["daemon"].advice
    assert findings["plan"].found == "cpu in float32 (needs 16.9 GB of 22.7 GB)"
    assert findings["devices"].found == "CPU; 24.0 GB of memory"


def test_the_device_plan_is_shown_in_its_order_with_reasons(config: Config) -> None:
    answer = CPU_ONLY | {"machine": MACHINE | {"mps": True}, "candidates": [MPS, CPU]}
    findings = findings_by_name(config, answer)
    assert findings["devices"].found.startswith("MPS, CPU;")
    plan = "mps in float32 (needs 16.9 GB of 25.8 GB); then cpu in float32"
    assert findings["plan"].found.startswith(plan)


def test_a_machine_that_is_too_small_is_a_warning(config: Config) -> None:
    last_resort = CPU_ONLY | {"candidates": [CPU | {"reason": "the last resort"}]}
    plan = findings_by_name(config, last_resort)["plan"]
    assert plan.state == "warn"
    assert "very slow" in plan.advice


def test_a_missing_device_fails_with_the_engines_exit_code(config: Config) -> None:
    error = "engine.device is 'mps', but this machine has only: cpu"
    plan = findings_by_name(config, {"machine": MACHINE, "error": error})["plan"]
    assert plan.state == "fail"
    assert plan.exit_code == ExitCode.ENGINE


@pytest.mark.slow
def test_torch_is_asked_in_another_process(config: Config) -> None:
    answer = probe_torch(config)
    assert answer["machine"]["memory_bytes"] > 10**9
    assert answer["candidates"][-1]["device"] == "cpu"
    mps_only = config.model_copy(
        update={"engine": config.engine.model_copy(update={"device": "mps"})}
    )
    assert "engine.device is 'mps'" in probe_torch(mps_only)["error"]


def test_a_folder_that_cannot_be_used_fails_with_the_configurations_exit_code(
    config: Config, tmp_path: Path
) -> None:
    (tmp_path / "out").rmdir()
    (tmp_path / "out").write_text("a file")
    output = findings_by_name(config)["output"]
    assert output.state == "fail"
    assert output.exit_code == ExitCode.CONFIGURATION
    assert "it is not a folder" in output.found


def test_a_folder_that_only_the_daemon_cannot_use_is_reported(
    config: Config, tmp_path: Path
) -> None:
    journal = Journal(tmp_path / "state")
    skipped = ("mps in float32 (mps-dtype: clash)",)
    backend = BackendInfo("cpu", "float32", "native", "2", "5", ModelIdentity("a/b", None), skipped)
    journal.status.publish_folder_errors(
        {
            tmp_path / "in": "Operation not permitted",
            tmp_path / "out": None,
            tmp_path / "state": "it does not exist",  # when the daemon started; it exists now
        }
    )
    journal.status.publish_daemon(DaemonStatus(1, 1000.0, None))
    journal.status.publish_engine(EngineReady(backend, 2, 1000.0))
    with single_instance(tmp_path / "state"):
        findings = findings_by_name(config)
    journal.close()
    assert findings["inbox"].state == "fail"
    assert "the daemon has no access: Operation not permitted" in findings["inbox"].found
    assert "Privacy & Security" in findings["inbox"].advice
    assert "this command and the daemon" in findings["output"].found
    assert findings["state"].state == "ok"
    assert findings["daemon"].state == "ok"
    assert findings["skipped device"].state == "warn"


def test_a_broken_model_fails_and_a_model_that_is_not_downloaded_yet_is_a_warning(
    config: Config, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    mine = config.model.model_copy(update={"path": str(tmp_path / "mine")})
    broken = findings_by_name(config.model_copy(update={"model": mine}))["model"]
    assert broken.state == "fail"
    assert broken.exit_code == ExitCode.MODEL
    managed = config.model.model_copy(update={"path": None})
    missing = findings_by_name(config.model_copy(update={"model": managed}))["model"]
    assert missing.state == "warn"
    assert "ocrd model heal" in missing.advice


def test_the_checks_leave_nothing_behind(config: Config, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    findings_by_name(config)
    assert sorted(tmp_path.rglob("*")) == before
    assert folder_error(tmp_path / "in") is None
    assert folder_error(tmp_path / "nowhere") == "it does not exist"
