"""Commands: one clear sentence for a mistake, the design's exit codes, no traceback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ocrd.paths import POCKET_MODEL
from tests.integration.conftest import DRAWN, PICTURES, Service


def test_recognize_prints_the_text_and_writes_nothing(service: Service) -> None:
    picture = service.drop("a.png")
    done = service.call("recognize", str(picture))
    assert done.returncode == 0
    assert done.stdout.strip() == DRAWN["greeting.png"]
    assert service.sidecars() == []


def test_recognize_as_json_is_a_sidecar(service: Service) -> None:
    done = service.call("recognize", str(PICTURES / "note.png"), "--json")
    assert json.loads(done.stdout)["source"]["name"] == "note.png"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["recognize", "/nowhere.png"], 2, "no such file"),
        (["recognize", str(PICTURES)], 2, "not a plain file"),
        (["recognize", __file__], 3, "test_commands.py"),
        (["recognize", str(PICTURES / "note.png"), "--task", "dance"], 2, "dance"),
        (["run", "--config", "/nowhere.toml"], 4, "/nowhere.toml"),
        (["dance"], 2, "dance"),
        (["run", "--dance"], 2, "--dance"),
    ],
)
def test_a_mistake_is_one_sentence_and_its_exit_code(
    service: Service, arguments: list[str], code: int, words: str
) -> None:
    done = service.call(*arguments)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("folder", ["nowhere", "empty"])
def test_a_missing_or_empty_model_ends_with_5(service: Service, folder: str) -> None:
    (service.home / "empty").mkdir()
    text = service.config.read_text().replace('"pocket"', json.dumps(str(service.home / folder)))
    service.config.write_text(text)
    done = service.call("run", "--once")
    assert done.returncode == 5, done.stderr
    assert folder in done.stderr and "Traceback" not in done.stderr


def test_a_torch_that_does_not_import_is_said_with_its_reason(service: Service) -> None:
    (service.home / "bad/torch").mkdir(parents=True)
    (service.home / "bad/torch/__init__.py").write_text("raise RuntimeError('libgomp is missing')")
    service.environment["PYTHONPATH"] = f"{service.home / 'bad'}{os.pathsep}{Path.cwd()}"
    done = service.call("recognize", str(PICTURES / "note.png"))
    assert (
        done.returncode == 6
        and "libgomp is missing" in done.stderr
        and "Traceback" not in done.stderr
    )
    assert service.run_once() == 6
    log = service.log.read_text()
    assert (
        "libgomp is missing" in log and "Traceback" in log
    )  # the daemon's log has the whole of it
    shown = service.call("doctor")
    assert shown.returncode == 6 and "libgomp is missing" in shown.stdout


def test_init_writes_a_working_configuration_once(service: Service, tmp_path: Path) -> None:
    config = tmp_path / "new/config.toml"
    inbox = tmp_path / 'in "box"'
    first = service.call("init", "--config", str(config), "--inbox", str(inbox), "--pocket")
    assert first.returncode == 0, first.stderr
    assert inbox.is_dir() and f"wrote {config}" in first.stdout and "model heal" not in first.stdout
    real = service.call("init", "--config", str(tmp_path / "real.toml"), "--inbox", str(inbox))
    assert "is fetched at the first start" in real.stdout
    config.write_text(config.read_text() + "# mine\n")
    again = service.call("init", "--config", str(config), "--inbox", "/elsewhere")
    assert (
        f"kept {config}" in again.stdout
        and "--inbox" in again.stdout
        and config.read_text().endswith("# mine\n")
    )


def test_status_without_a_daemon_says_so(service: Service) -> None:
    assert service.status()["running"] is False
    assert "not running" in service.call("status").stdout


def test_help_imports_no_torch() -> None:
    code = "import sys, ocrd.cli as c; sys.argv = ['ocrd', '--help']; c.run_cli(); print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip().endswith("False") and "recognize" in done.stdout


def test_status_shows_a_failure_whose_name_looks_like_markup(service: Service) -> None:
    (service.inbox / "a[").mkdir()
    path = service.inbox / "a[" / "q].png"
    path.write_bytes(b"words")
    os.utime(path, (0, 0))
    assert service.run_once() == 3
    path.write_bytes(b"other words")
    os.utime(path, (0, 0))
    assert service.run_once() == 3  # it failed again, though there are no more failures than before
    shown = service.call("status")
    assert shown.returncode == 0 and "q].png" in shown.stdout.replace("\n", ""), shown.stderr
    path.unlink()
    assert service.status()["failures"] == []


def test_folders_that_cannot_be_made_are_one_sentence(service: Service) -> None:
    service.configure(path=str(service.config))
    done = service.call("run", "--once")
    assert (
        done.returncode == 4
        and "the inbox cannot be made" in done.stderr
        and "Traceback" not in done.stderr
    )
    service.environment["OCRD_STATE_DIR"] = str(service.config / "below")
    done = service.call("run", "--once")
    assert done.returncode == 4 and "Traceback" not in done.stderr
    service.environment["OCRD_STATE_DIR"] = "~nobody-of-that-name/x"
    assert service.call("status").returncode == 4


def test_model_verify_says_what_is_broken_and_ends_with_5(service: Service) -> None:
    good = service.call("model", "verify", "--json")
    assert good.returncode == 0 and json.loads(good.stdout)["ok"] is True
    copy = service.home / "model"
    shutil.copytree(POCKET_MODEL, copy)
    weights = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    service.config.write_text(service.config.read_text().replace('"pocket"', json.dumps(str(copy))))
    bad = service.call("model", "verify", "--full", "--json")
    assert bad.returncode == 5
    assert [c["name"] for c in json.loads(bad.stdout)["checks"] if c["state"] == "fail"] == [
        "model.safetensors"
    ]
    service.environment["OCRD_STATE_DIR"] = str(
        service.config / "below"
    )  # where nothing can be remembered
    shown = service.call("model", "verify")
    assert (
        shown.returncode == 5
        and "model.safetensors" in shown.stdout
        and "Traceback" not in shown.stderr
    )
