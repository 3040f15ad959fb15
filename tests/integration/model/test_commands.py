"""``ocrd model heal``, ``ocrd model verify`` and ``ocrd recognize`` with a managed model."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

import pytest

from ocrd.paths import POCKET_MODEL
from tests.demo_pictures import DRAWN
from tests.fork_server.client import start_program
from tests.hub import LocalHub
from tests.integration.conftest import Service, wait_until
from tests.integration.model.managed import ManagedService
from tests.published import MODEL_FILES, REPO, SHARDS

FIRST, SECOND = SHARDS


def test_a_dry_run_reports_what_would_be_done_and_changes_nothing(
    managed: ManagedService, hub: LocalHub
) -> None:
    planned = json.loads(managed.heal("--dry-run", "--json").stdout)
    methods = {file["name"]: file["how"] for file in planned["files"]}
    assert methods == dict.fromkeys(MODEL_FILES, "fetch")
    assert "would download" in managed.heal("--dry-run").stdout
    assert not managed.folder.exists() and hub.downloads() == []


def test_a_dry_run_of_a_reset_names_the_copies_to_remove(
    managed: ManagedService, hub: LocalHub
) -> None:
    copy = managed.service.home / "hf/hub" / f"models--{REPO.replace('/', '--')}"
    (copy / "blobs").mkdir(parents=True)
    output = managed.heal("--reset", "--dry-run").stdout
    assert f"would remove {copy}" in output.replace("\n", "")
    assert copy.exists()


def test_healing_makes_the_model_complete_and_then_has_nothing_to_do(
    managed: ManagedService, hub: LocalHub
) -> None:
    healed = managed.heal("--json")
    assert healed.returncode == 0 and json.loads(healed.stdout)["ok"] is True
    assert managed.is_complete()
    assert "the model is complete, every byte was hashed" in managed.heal().stdout
    assert "nothing to do" in managed.heal("--dry-run").stdout


def test_verification_reports_a_missing_and_a_broken_model(
    managed: ManagedService, hub: LocalHub
) -> None:
    missing = managed.service.call("model", "verify")
    assert "there is no model; run: ocrd model heal" in missing.stderr
    assert managed.heal().returncode == 0
    complete = managed.service.call("model", "verify")
    assert complete.returncode == 0 and "torch" in complete.stdout and "MPS" in complete.stdout
    (managed.folder / SECOND).unlink()
    broken = managed.service.call("model", "verify")
    assert broken.returncode == 5 and "run: ocrd model heal" in broken.stderr


def test_recognize_fetches_its_model_first(managed: ManagedService, hub: LocalHub) -> None:
    done = managed.service.call("recognize", str(POCKET_MODEL / "demo/note.png"))
    assert done.returncode == 0 and done.stdout.strip() == DRAWN["note.png"], done.stderr


@pytest.mark.parametrize(
    ("variables", "options", "exit_code", "message"),
    [
        ({"ALL_PROXY": "socks5://127.0.0.1:1"}, [], 5, "socks"),
        ({"HF_HUB_DOWNLOAD_TIMEOUT": "abc"}, [], 4, "hf_"),
        ({"HF_HOME": "{home}/models/some-org--Some.OCR-model/x"}, [], 4, "model.folder"),
        ({}, ["--from", "/nowhere"], 2, "/nowhere"),
        ({}, ["--from", "~nobody-of-that-name/x"], 2, "nobody"),
    ],
)
def test_a_wrong_setting_is_reported_in_one_sentence(
    managed: ManagedService,
    hub: LocalHub,
    variables: dict[str, str],
    options: list[str],
    exit_code: int,
    message: str,
) -> None:
    home = managed.service.home
    managed.service.environment |= {
        name: value.format(home=home) for name, value in variables.items()
    }
    done = managed.heal(*options)
    assert done.returncode == exit_code and message in done.stderr.lower(), done.stderr
    assert "Traceback" not in done.stderr and not managed.folder.exists()


@pytest.mark.real_processes
def test_ctrl_c_keeps_the_downloaded_bytes_and_reports_it(
    managed: ManagedService, hub: LocalHub
) -> None:
    hub.faults.pause_s = 0.02
    service = managed.service
    with service.log.open("wb") as log:
        healer = start_program("ocrd", "model", "heal", environment=service.environment, stderr=log)

    def partial_downloads() -> list[Path]:
        return [path for path in managed.staging.glob("*.part") if path.stat().st_size > 0]

    wait_until(partial_downloads, "the first bytes")
    healer.send_signal(signal.SIGINT)
    assert healer.wait(10) == 130
    output = service.log.read_text()
    assert "kept for the next time" in output and "Traceback" not in output
    assert partial_downloads() and not managed.folder.exists()


def test_offline_mode_is_reported_and_a_copy_heals(
    managed: ManagedService, hub: LocalHub, tmp_path: Path
) -> None:
    assert managed.heal().returncode == 0
    copy = tmp_path / "usb"
    shutil.move(managed.folder, copy)
    hub.requests.clear()
    managed.service.environment["HF_HUB_OFFLINE"] = "1"
    refused = managed.heal()
    assert refused.returncode == 5
    assert "HF_HUB_OFFLINE" in refused.stderr and "Traceback" not in refused.stderr
    assert managed.heal("--from", str(copy)).returncode == 0
    assert managed.is_complete() and hub.requests == []


def test_the_pocket_model_cannot_be_healed(service: Service) -> None:
    done = service.call("model", "heal")
    assert done.returncode == 4 and "reinstall ocrd" in done.stderr


def test_only_the_model_is_requested_from_the_hub(managed: ManagedService, hub: LocalHub) -> None:
    assert managed.heal().returncode == 0
    for request in hub.requests:
        assert REPO in request.path or "/cdn/" in request.path
