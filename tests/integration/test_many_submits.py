"""A thousand files are submitted while the daemon is killed and restarted."""

from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from ocrd import paths
from ocrd.control.submit import submit
from ocrd.journal import Journal
from tests.integration.conftest import Service, wait_until

FILES = 1000
RESTART_INTERVAL_S = 2.0
# The signals that end the daemon, one after another.
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL, signal.SIGINT, signal.SIGKILL)


def save_blank_page(path: Path, number: int) -> Path:
    """Save a blank page, which is read quickly. Each number gives a page of another size."""
    Image.new("L", (40 + number % 50, 40 + number // 50), 255).save(path)
    return path


def end_and_restart(service: Service) -> None:
    for number in SIGNALS:
        time.sleep(RESTART_INTERVAL_S)
        service.stop(number)
        service.start()


def submit_by_commands(service: Service, files: list[Path], *, pool: ThreadPoolExecutor) -> None:
    """Submit ten files with each command, several commands at a time."""

    def run(part: list[Path]) -> None:
        service.call("submit", *map(str, part)).check_returncode()

    parts = [files[start : start + 10] for start in range(0, len(files), 10)]
    for _ in pool.map(run, parts):
        pass


def submit_by_calls(files: list[Path], pool: ThreadPoolExecutor) -> None:
    """Submit one file with each call, in several threads of this process."""
    for queued, _ in pool.map(lambda file: submit([file]), files):
        assert all(submitted.job for submitted in queued)


@pytest.mark.timeout(300)
def test_a_thousand_submits_during_restarts_of_the_daemon_lose_no_file(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OCRD_STATE_DIR", "OCRD_CONFIG"):
        monkeypatch.setenv(name, service.environment[name])
    assert paths.state_dir() == service.home / "state"
    desk = service.home / "desk"
    desk.mkdir()
    files = [save_blank_page(desk / f"{number:04}.png", number) for number in range(FILES)]
    service.start()
    with ThreadPoolExecutor(1) as restarts, ThreadPoolExecutor(4) as pool:
        restarting = restarts.submit(end_and_restart, service)
        submit_by_commands(service, files[: FILES // 2], pool=pool)
        submit_by_calls(files[FILES // 2 :], pool)
        restarting.result()
    wait_until(lambda: service.status()["jobs"]["done"] == FILES, "all files", timeout_s=200)
    assert service.stop() == 0
    journal = Journal(service.home / "state")
    assert journal.history.counts() == {"queued": 0, "running": 0, "done": FILES, "failed": 0}
    journal.close()
    assert sorted(path.name for path in desk.glob("*.json")) == [f"{f.name}.json" for f in files]
    # No file was read twice: there is no second set of sidecars with numbered names.
    assert len(list(desk.iterdir())) == 3 * FILES
