"""A locked or damaged journal is one clear error and does not block the daemon."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from pathlib import Path

import pytest

from ocrd import paths
from ocrd.journal import Journal
from ocrd.types import Fingerprint
from tests.integration.conftest import Service, wait_until


@pytest.mark.parametrize("command", ["start", "stop"])
def test_a_journal_locked_by_another_process_does_not_delay_the_end(
    service: Service, command: str
) -> None:
    Journal(paths.make_private_folder(service.home / "state")).close()
    if command == "stop":
        service.start()
        wait_until(lambda: service.status()["pid"], "the daemon")
    with contextlib.closing(
        sqlite3.connect(service.home / "state/journal.sqlite3", isolation_level=None)
    ) as other:
        other.execute("BEGIN IMMEDIATE")
        if command == "start":
            done = service.call("run")
            assert done.returncode == 7 and "Traceback" not in done.stderr
            return
        started = time.monotonic()
        assert service.stop() == 0
        assert time.monotonic() - started < 5


def test_a_damaged_journal_is_explained_in_one_sentence(service: Service) -> None:
    state = paths.make_private_folder(service.home / "state")
    filled = Journal(state)
    for number in range(200):
        filled.jobs.submit(Path(f"/nowhere/{number}-{'x' * 300}.png"), Fingerprint(1, number, 3, 4))
    filled.close()
    service.drop("1.png")
    journal = service.home / "state/journal.sqlite3"
    data = bytearray(journal.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    journal.write_bytes(data)
    for path in journal.parent.glob("journal.sqlite3-*"):
        path.unlink()
    for command in (["status"], ["submit", str(service.inbox / "1.png")], ["pause"], ["jobs"]):
        done = service.call(*command)
        assert done.returncode == 7 and "Traceback" not in done.stderr, command
        assert "is damaged" in done.stderr and "rebuilt from the sidecars" in done.stderr
