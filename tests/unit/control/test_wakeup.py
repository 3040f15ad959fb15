"""A wake-up reaches a running daemon, and costs nothing where none runs."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from ocrd.control.wakeup import FILE_NAME, WakeupListener, notify_daemon


def test_a_wakeup_reaches_the_listener(tmp_path: Path) -> None:
    heard = threading.Event()
    listener = WakeupListener(tmp_path, heard.set)
    listener.start()
    assert notify_daemon(tmp_path) and heard.wait(5)
    listener.stop()


def test_nothing_wakes_up_by_itself(tmp_path: Path) -> None:
    wakeups: list[float] = []
    listener = WakeupListener(tmp_path, lambda: wakeups.append(time.monotonic()))
    listener.start()
    time.sleep(0.3)
    assert wakeups == []
    listener.stop()
    assert wakeups == []  # its own end is not a wake-up


def test_without_a_listener_it_returns_immediately(tmp_path: Path) -> None:
    assert notify_daemon(tmp_path) is False
    listener = WakeupListener(tmp_path, lambda: None)
    listener.start()
    listener.stop()
    assert (tmp_path / FILE_NAME).is_fifo()  # it stays, as after a kill
    assert notify_daemon(tmp_path) is False


def test_any_number_of_wakeups_of_a_busy_daemon_is_fine(tmp_path: Path) -> None:
    busy = threading.Event()
    heard = threading.Event()

    def slow() -> None:
        heard.set()
        busy.wait(20)

    listener = WakeupListener(tmp_path, slow)
    listener.start()
    assert all(notify_daemon(tmp_path) for _ in range(100_000))  # more than a pipe holds
    assert heard.wait(5)
    busy.set()
    listener.stop()


def test_another_kind_of_file_in_its_place_is_replaced_and_never_written_to(
    tmp_path: Path,
) -> None:
    (tmp_path / FILE_NAME).write_text("something")
    notify_daemon(tmp_path)
    assert (tmp_path / FILE_NAME).read_text() == "something"
    heard = threading.Event()
    listener = WakeupListener(tmp_path, heard.set)
    listener.start()
    assert notify_daemon(tmp_path) and heard.wait(5)
    listener.stop()


def test_a_folder_that_cannot_be_written_to_is_fine(tmp_path: Path) -> None:
    listener = WakeupListener(tmp_path / "nowhere", lambda: None)
    listener.start()
    listener.stop()
    assert notify_daemon(tmp_path / "nowhere") is False


def test_only_its_owner_can_wake_it(tmp_path: Path) -> None:
    listener = WakeupListener(tmp_path, lambda: None)
    listener.start()
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600
    listener.stop()
