"""Time one picture in this process and through the daemon.

The two differ when launchd slows the daemon down, or when the daemon uses a slower device.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
import time
from pathlib import Path
from typing import Any

from ocrd import paths
from ocrd.backends.local import make_local_backend
from ocrd.backends.retry import read_with_retries
from ocrd.config import Config
from ocrd.control.lock import is_running
from ocrd.errors import EngineError, ServiceError
from ocrd.outputs.destination import preferred_destination
from ocrd.read_protocol import PageRead
from ocrd.serialization import decode_reading
from ocrd.worker.from_config import read_request

PICTURE = paths.POCKET_MODEL / "demo" / "greeting.png"
# For one small picture, after all other files in the queue.
SIDECAR_TIMEOUT_S = 600.0
POLL_INTERVAL_S = 0.1


def time_in_foreground(config: Config) -> float:
    """Read the picture with a worker of this command.

    Returns:
        Seconds for the page, without loading the model.

    Raises:
        EngineError: The page cannot be read.
    """
    backend = make_local_backend(config, max_fetch_tries=1)
    request = read_request(config, PICTURE, job="doctor", task="text")
    try:
        backend.start()
        for event in read_with_retries(backend, request):
            if isinstance(event, PageRead):
                return decode_reading(event.reading).seconds
    finally:
        backend.stop()
    raise EngineError(f"{PICTURE}: the engine returned no page; see: ocrd logs")


def time_through_daemon(config: Config) -> dict[str, float]:
    """Drop the picture into an inbox and wait for its sidecar; both are removed afterwards.

    Returns:
        ``daemon``: seconds for the page as the daemon measured them; ``whole``: seconds from
        dropping the picture to its sidecar.

    Raises:
        ServiceError: No daemon runs, no inbox writes JSON, or the sidecar does not appear.
    """
    if not is_running(paths.state_dir()):
        raise ServiceError("no daemon is running to compare with; start one with: ocrd start")
    inbox = next((inbox for inbox in config.inbox if "json" in inbox.formats), None)
    if inbox is None:
        raise ServiceError(
            'no inbox writes "json", which contains the time of a page; add it to inbox.formats'
        )
    picture = inbox.path / f"ocrd-doctor-{secrets.token_hex(4)}.png"
    destination = preferred_destination(picture, inbox.name, inbox=inbox.path, output=inbox.output)
    started = time.monotonic()
    try:
        shutil.copyfile(PICTURE, picture)
        document = _wait_for_sidecar(destination.path("json"))
        return {
            "daemon": float(document["pages"][0]["seconds"]),
            "whole": time.monotonic() - started,
        }
    finally:
        for path in (picture, *(destination.path(format_) for format_ in inbox.formats)):
            with contextlib.suppress(OSError):
                path.unlink()


def _wait_for_sidecar(path: Path) -> dict[str, Any]:
    deadline = time.monotonic() + SIDECAR_TIMEOUT_S
    while time.monotonic() < deadline:
        if path.exists():
            document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return document
        time.sleep(POLL_INTERVAL_S)
    raise ServiceError(
        f"{path}: did not appear within {SIDECAR_TIMEOUT_S:.0f} s; check: ocrd status"
    )
