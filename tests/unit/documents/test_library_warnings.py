"""What libraries warn about goes to the log with the file's name, and not to the terminal."""

from __future__ import annotations

import logging
import os
import threading
import warnings
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any

import pytest
import structlog

from ocrd.documents.document import open_document
from ocrd.documents.library_warnings import MAX_MESSAGES_PER_FILE, LibraryWarningLog
from ocrd.errors import DamagedDocument
from tests.unit.documents.files import damaged_fax, truncated_exif, two_coloured, xfa_pdf

Event = MutableMapping[str, Any]


@pytest.fixture
def warning_log(tmp_path: Path) -> LibraryWarningLog:
    return LibraryWarningLog(tmp_path / "state")


def read(path: Path, warning_log: LibraryWarningLog) -> list[Event]:
    """Decode every page: the events that are logged meanwhile."""
    with (
        structlog.testing.capture_logs() as events,
        open_document(path, warning_log=warning_log) as document,
    ):
        list(document.pages())
    return events


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("fax.tif", damaged_fax, "Bad code word"),
        ("form.pdf", lambda path: path.write_bytes(xfa_pdf()), "XFA"),
        ("photo.jpg", truncated_exif, "Corrupt EXIF data"),
    ],
)
def test_a_warning_of_a_library_is_logged_with_the_file_and_not_printed(
    tmp_path: Path,
    warning_log: LibraryWarningLog,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    write: Callable[[Path], object],
    message: str,
) -> None:
    write(tmp_path / name)
    monkeypatch.setattr(logging.getLogger(), "level", logging.ERROR)
    events = read(tmp_path / name, warning_log)
    assert logging.getLogger().level == logging.ERROR
    assert {(event["event"], event["file"]) for event in events} == {
        ("a library warned", str(tmp_path / name))
    }
    assert message in events[0]["library_message"]
    assert capfd.readouterr() == ("", "")


def test_a_good_file_logs_nothing(tmp_path: Path, warning_log: LibraryWarningLog) -> None:
    two_coloured().save(tmp_path / "a.png")
    assert read(tmp_path / "a.png", warning_log) == []


def test_without_a_log_warnings_go_their_usual_way(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    damaged_fax(tmp_path / "fax.tif")
    with open_document(tmp_path / "fax.tif") as document:
        document.page(0)
    assert "Bad code word" in capfd.readouterr().err


def test_a_warning_is_logged_once_per_file(tmp_path: Path, warning_log: LibraryWarningLog) -> None:
    with structlog.testing.capture_logs() as events:
        for path in (tmp_path / "a.tif", tmp_path / "a.tif", tmp_path / "b.tif"):
            with warning_log.attribute_to(path):
                warnings.warn("odd", stacklevel=1)
    assert [Path(event["file"]).name for event in events] == ["a.tif", "b.tif"]


def test_a_file_with_many_warnings_does_not_fill_the_log(
    tmp_path: Path, warning_log: LibraryWarningLog
) -> None:
    with (
        structlog.testing.capture_logs() as events,
        warning_log.attribute_to(tmp_path / "a.tif"),
    ):
        for line in range(10_000):
            os.write(2, b"Fax4Decode: Bad code word at line %d.\n" % line)
    assert len(events) == MAX_MESSAGES_PER_FILE


def test_warnings_before_an_error_are_logged_too(
    tmp_path: Path, warning_log: LibraryWarningLog, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        with warning_log.attribute_to(tmp_path / "a.tif"):
            os.write(2, b"TIFFFillStrip: Read error.\n")
            raise DamagedDocument("a.tif: it is damaged")

    with structlog.testing.capture_logs() as events, pytest.raises(DamagedDocument):
        fail()
    assert [event["library_message"] for event in events] == ["TIFFFillStrip: Read error."]
    os.write(2, b"printed afterwards\n")
    assert capfd.readouterr().err == "printed afterwards\n"


def test_what_another_thread_logs_is_not_attributed_to_the_file(
    tmp_path: Path, warning_log: LibraryWarningLog, capfd: pytest.CaptureFixture[str]
) -> None:
    logger = logging.getLogger("some.library")
    thread = threading.Thread(target=logger.warning, args=("%s", "from another thread"))
    with (
        structlog.testing.capture_logs() as events,
        warning_log.attribute_to(tmp_path / "a.tif"),
    ):
        thread.start()
        thread.join()
        logger.warning("from %s", "the decoder")
        logger.info("not a warning")
    assert [event["library_message"] for event in events][-1:] == ["from the decoder"]


def test_a_traceback_of_another_thread_is_printed_as_usual(
    tmp_path: Path, warning_log: LibraryWarningLog, capfd: pytest.CaptureFixture[str]
) -> None:
    text = "Exception in thread x:\nTraceback (most recent call last):\nValueError: odd\n"
    with warning_log.attribute_to(tmp_path / "a.tif"):
        os.write(2, text.encode())
    assert capfd.readouterr().err == text


def test_without_a_usable_folder_python_warnings_are_still_logged(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    truncated_exif(tmp_path / "photo.jpg")
    (event,) = read(tmp_path / "photo.jpg", LibraryWarningLog(tmp_path / "state"))
    assert "Corrupt EXIF data" in event["library_message"]
