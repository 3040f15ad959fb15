"""Warnings of libraries are in the daemon's log with the file's name, and not on a terminal."""

from __future__ import annotations

import json

from tests.integration.conftest import Service
from tests.unit.documents.files import damaged_fax, truncated_exif


def test_the_daemon_logs_the_warning_with_the_file(service: Service) -> None:
    damaged_fax(service.inbox / "fax.tif")
    truncated_exif(service.inbox / "photo.jpg")
    assert service.run_once() == 0
    log = service.home / "state/logs/ocrd.log"
    events = [json.loads(line) for line in log.read_text().splitlines()]
    warnings = {
        (event["file"].rsplit("/", 1)[1], event["library_message"].split(" ", 1)[0])
        for event in events
        if event["event"] == "a library warned"
    }
    assert warnings == {("fax.tif", "Fax4Decode:"), ("photo.jpg", "Corrupt")}


def test_recognize_does_not_print_the_warning(service: Service) -> None:
    damaged_fax(service.home / "fax.tif")
    done = service.call("recognize", str(service.home / "fax.tif"))
    assert done.returncode == 0 and done.stderr == ""
