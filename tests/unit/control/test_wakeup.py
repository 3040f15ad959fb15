"""The doorbell: whoever rings wakes the daemon, and ringing where nobody is costs nothing."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from ocrd.control.wakeup import FILE, WakeupListener, notify_daemon


def test_a_ring_is_heard(tmp_path: Path) -> None:
    heard = threading.Event()
    bell = WakeupListener(tmp_path, heard.set)
    bell.start()
    assert notify_daemon(tmp_path) and heard.wait(5)
    bell.stop()


def test_nobody_is_woken_without_a_ring(tmp_path: Path) -> None:
    rings: list[float] = []
    bell = WakeupListener(tmp_path, lambda: rings.append(time.monotonic()))
    bell.start()
    time.sleep(0.3)
    assert rings == []
    bell.stop()
    assert rings == []  # its own end is not somebody's ring


def test_ringing_where_nobody_listens_returns_at_once(tmp_path: Path) -> None:
    assert notify_daemon(tmp_path) is False
    bell = WakeupListener(tmp_path, lambda: None)
    bell.start()
    bell.stop()
    assert (tmp_path / FILE).is_fifo()  # it stays, as after a kill
    assert notify_daemon(tmp_path) is False


def test_ten_thousand_rings_at_a_daemon_that_is_busy_are_no_trouble(tmp_path: Path) -> None:
    busy = threading.Event()
    heard = threading.Event()

    def slow() -> None:
        heard.set()
        busy.wait(20)

    bell = WakeupListener(tmp_path, slow)
    bell.start()
    assert all(notify_daemon(tmp_path) for _ in range(100_000))  # more than a pipe holds
    assert heard.wait(5)
    busy.set()
    bell.stop()


def test_another_kind_of_file_in_its_place_is_replaced_and_ringing_never_writes_into_it(
    tmp_path: Path,
) -> None:
    (tmp_path / FILE).write_text("something")
    notify_daemon(tmp_path)
    assert (tmp_path / FILE).read_text() == "something"
    heard = threading.Event()
    bell = WakeupListener(tmp_path, heard.set)
    bell.start()
    assert notify_daemon(tmp_path) and heard.wait(5)
    bell.stop()


def test_a_folder_in_which_nothing_can_be_made_is_no_trouble(tmp_path: Path) -> None:
    bell = WakeupListener(tmp_path / "nowhere", lambda: None)
    bell.start()
    bell.stop()
    assert notify_daemon(tmp_path / "nowhere") is False


def test_only_its_owner_may_ring(tmp_path: Path) -> None:
    bell = WakeupListener(tmp_path, lambda: None)
    bell.start()
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
    bell.stop()
