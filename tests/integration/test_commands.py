"""Commands: one clear sentence for an error, the right exit code, no traceback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ocrd.errors import ExitCode
from ocrd.paths import POCKET_MODEL
from tests.demo_pictures import DRAWN, PICTURES
from tests.integration.conftest import Service


def unwrapped(text: str) -> str:
    """A table's text without the line breaks of a narrow terminal."""
    return " ".join(text.split())


@pytest.mark.real_processes
def test_recognize_prints_the_text_and_writes_nothing(service: Service) -> None:
    picture = service.drop("a.png")
    completed = service.call("recognize", str(picture))
    assert completed.returncode == ExitCode.DONE
    assert completed.stdout.strip() == DRAWN["greeting.png"]
    assert service.sidecars() == []


def test_recognize_as_json_is_a_sidecar(service: Service) -> None:
    completed = service.call("recognize", str(PICTURES / "note.png"), "--json")
    assert json.loads(completed.stdout)["source"]["name"] == "note.png"


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (["recognize", "/nowhere.png"], ExitCode.USAGE, "does not exist"),
        (["recognize", str(PICTURES)], ExitCode.USAGE, "not a plain file"),
        (["recognize", __file__], ExitCode.SOME_FILES_FAILED, "test_commands.py"),
        (
            ["recognize", str(PICTURES / "note.png"), "--task", "dance"],
            ExitCode.USAGE,
            "dance",
        ),
        (["run", "--config", "/nowhere.toml"], ExitCode.CONFIGURATION, "/nowhere.toml"),
        (["dance"], ExitCode.USAGE, "dance"),
        (["run", "--dance"], ExitCode.USAGE, "--dance"),
        (["jobs", "--state", "dance"], ExitCode.USAGE, "dance"),
    ],
)
def test_an_error_is_one_sentence_with_its_exit_code(
    service: Service, arguments: list[str], exit_code: ExitCode, message: str
) -> None:
    completed = service.call(*arguments)
    assert completed.returncode == exit_code, completed.stderr
    assert message in completed.stderr
    assert "Traceback" not in completed.stderr


@pytest.mark.parametrize("folder", ["nowhere", "empty"])
def test_a_missing_or_empty_model_folder_is_a_model_error(service: Service, folder: str) -> None:
    (service.home / "empty").mkdir()
    text = service.config.read_text().replace('"pocket"', json.dumps(str(service.home / folder)))
    service.config.write_text(text)
    completed = service.call("run", "--once")
    assert completed.returncode == ExitCode.MODEL, completed.stderr
    assert folder in completed.stderr
    assert "Traceback" not in completed.stderr


@pytest.mark.real_processes
def test_a_torch_that_cannot_be_imported_is_an_engine_error_with_its_reason(
    service: Service,
) -> None:
    broken = service.home / "bad/torch/__init__.py"
    broken.parent.mkdir(parents=True)
    broken.write_text("raise RuntimeError('libgomp is missing')")
    service.environment["PYTHONPATH"] = f"{service.home / 'bad'}{os.pathsep}{Path.cwd()}"
    completed = service.call("recognize", str(PICTURES / "note.png"))
    assert completed.returncode == ExitCode.ENGINE
    assert "libgomp is missing" in completed.stderr
    assert "Traceback" not in completed.stderr
    assert service.run_once() == ExitCode.ENGINE
    daemon_log = service.log.read_text()
    assert "libgomp is missing" in daemon_log
    assert "Traceback" in daemon_log  # the daemon's log has the whole stack trace
    diagnosis = service.call("doctor")
    assert diagnosis.returncode == ExitCode.ENGINE
    assert "libgomp is missing" in unwrapped(diagnosis.stdout)


def test_init_writes_a_working_configuration_once(service: Service, tmp_path: Path) -> None:
    config = tmp_path / "new/config.toml"
    inbox = tmp_path / 'in "box"'
    first = service.call("init", "--config", str(config), "--inbox", str(inbox), "--pocket")
    assert first.returncode == ExitCode.DONE, first.stderr
    assert inbox.is_dir()
    assert f"wrote {config}" in first.stdout
    assert "model heal" not in first.stdout
    real = service.call("init", "--config", str(tmp_path / "real.toml"), "--inbox", str(inbox))
    assert "at the first start" in real.stdout
    config.write_text(config.read_text() + "# mine\n")
    again = service.call("init", "--config", str(config), "--inbox", "/elsewhere")
    assert f"kept {config}" in again.stdout
    assert "--inbox" in again.stdout
    assert config.read_text().endswith("# mine\n")


@pytest.mark.real_processes
def test_status_shows_that_no_daemon_is_running(service: Service) -> None:
    assert service.status()["running"] is False
    assert "not running" in service.call("status").stdout


HEAVY_MODULES = ("torch", "transformers", "PIL", "pypdfium2", "numpy", "pydantic", "rich")


def test_help_imports_no_heavy_module() -> None:
    code = (
        "import sys, ocrd.cli as cli\n"
        "sys.argv = ['ocrd', '--help']\n"
        "cli.run_cli()\n"
        f"print([name for name in {HEAVY_MODULES} if name in sys.modules])\n"
    )
    completed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert "recognize" in completed.stdout
    assert completed.stdout.splitlines()[-1] == "[]"


def test_status_shows_a_failed_file_whose_name_looks_like_markup(service: Service) -> None:
    path = service.inbox / "a[" / "q].png"
    path.parent.mkdir()
    for content in (b"not a picture", b"not a picture either"):
        path.write_bytes(content)
        os.utime(path, (0, 0))
        # The second time there are no more failed files than before, but one failed again.
        assert service.run_once() == ExitCode.SOME_FILES_FAILED
    shown = service.call("status")
    assert shown.returncode == ExitCode.DONE, shown.stderr
    assert "q].png" in shown.stdout.replace("\n", "")
    path.unlink()
    assert service.status()["failures"] == []


def test_folders_that_cannot_be_created_are_a_configuration_error(service: Service) -> None:
    service.configure(path=str(service.config))
    completed = service.call("run", "--once")
    assert completed.returncode == ExitCode.CONFIGURATION
    assert "the inbox cannot be created" in completed.stderr
    assert "Traceback" not in completed.stderr
    service.environment["OCRD_STATE_DIR"] = str(service.config / "below")
    completed = service.call("run", "--once")
    assert completed.returncode == ExitCode.CONFIGURATION
    assert "Traceback" not in completed.stderr
    service.environment["OCRD_STATE_DIR"] = "~nobody-of-that-name/x"
    assert service.call("status").returncode == ExitCode.CONFIGURATION


def test_model_verify_names_the_broken_file(service: Service) -> None:
    good = service.call("model", "verify", "--json")
    assert good.returncode == ExitCode.DONE
    assert json.loads(good.stdout)["ok"] is True
    copy = service.home / "model"
    shutil.copytree(POCKET_MODEL, copy)
    weights = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    service.config.write_text(service.config.read_text().replace('"pocket"', json.dumps(str(copy))))
    broken = service.call("model", "verify", "--full", "--json")
    assert broken.returncode == ExitCode.MODEL
    checks = json.loads(broken.stdout)["checks"]
    assert [c["name"] for c in checks if c["state"] == "fail"] == ["model.safetensors"]
    # In a state folder that cannot hold the cached hashes.
    service.environment["OCRD_STATE_DIR"] = str(service.config / "below")
    shown = service.call("model", "verify")
    assert shown.returncode == ExitCode.MODEL
    assert "model.safetensors" in shown.stdout
    assert "Traceback" not in shown.stderr
