"""One picture read here and one through the daemon.

A daemon that launchd slows down, or that fell back, shows.
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
from ocrd.config import Config
from ocrd.control.lock import is_running
from ocrd.errors import EngineError, ServiceError
from ocrd.outputs import sidecar
from ocrd.worker.from_config import read_request, worker_setup
from ocrd.worker.process import Worker
from ocrd.worker.retry import read_with_retries

PICTURE = paths.POCKET_MODEL / "demo" / "greeting.png"
# Seconds for one small picture, behind whatever else is queued.
PATIENCE = 600.0


def in_the_foreground(config: Config) -> float:
    """Seconds for the page, without loading the model.

    Raises EngineError when it cannot be read.
    """
    worker = Worker(worker_setup(config, tries=1), config.engine.load_deadline)
    try:
        worker.start()
        for message in read_with_retries(
            worker, read_request(config, "doctor", path=PICTURE, task="text")
        ):
            if message["event"] == "page":
                return float(message["reading"]["seconds"])
    finally:
        worker.stop()
    raise EngineError(f"{PICTURE}: no page came of it")


def through_the_daemon(config: Config) -> dict[str, float]:
    """Seconds for the page as the daemon read it, and from dropping the picture to its sidecar.

    Raises ServiceError when no daemon runs, or nothing comes of it. The picture and its sidecars
    are removed.
    """
    if not is_running(paths.state_dir()):
        raise ServiceError(
            "no daemon is running, so there is nothing to compare with; start it with: ocrd run"
        )
    inbox = next((i for i in config.inbox if "json" in i.formats), None)
    if inbox is None:
        raise ServiceError(
            'no inbox writes "json", which says how long a page took; add it to inbox.formats'
        )
    picture = inbox.path / f"ocrd-doctor-{secrets.token_hex(4)}.png"
    where = sidecar.destination(picture, inbox.name, inbox=inbox.path, output=inbox.output)
    started = time.monotonic()
    try:
        shutil.copyfile(PICTURE, picture)
        document = _wait_for(where.path("json"))
        return {
            "daemon": float(document["pages"][0]["seconds"]),
            "whole": time.monotonic() - started,
        }
    finally:
        for path in (picture, *(where.path(format_) for format_ in inbox.formats)):
            with contextlib.suppress(OSError):
                path.unlink()


def _wait_for(path: Path) -> dict[str, Any]:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if path.exists():
            document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return document
        time.sleep(0.1)
    raise ServiceError(f"{path.name} did not come within {PATIENCE:.0f} s; see: ocrd status")
