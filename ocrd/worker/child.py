"""The worker: load the model once, then read document after document until the pipe closes.

Run as ``python -m ocrd.worker.child REQUEST_FD MESSAGE_FD``. It opens untrusted files, so it may be
killed at any time; everything that it holds is also in the journal or on disk.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Mapping, MutableMapping
from dataclasses import asdict
from typing import IO, TYPE_CHECKING, Any

import structlog

from ocrd import paths
from ocrd.errors import ModelError, OcrdError
from ocrd.types import BackendInfo
from ocrd.worker.messages import (
    Heartbeat,
    LogRecord,
    StartFailed,
    WorkerMessage,
    WorkerReady,
    WorkerSetup,
    decode_requests,
    receive_setup,
    send_message,
)
from ocrd.worker.startup import Startup

if TYPE_CHECKING:
    from ocrd.engine.runtime.devices import Devices
    from ocrd.engine.runtime.engine_runner import EngineRunner
    from ocrd.worker.document_reader import DocumentReader

HEARTBEAT_INTERVAL_S = 5.0


class Child:
    """The worker's side of the two pipes."""

    def __init__(
        self, requests: IO[bytes], messages: IO[bytes], *, devices: Devices | None = None
    ) -> None:
        """``devices`` replaces torch's own in tests."""
        self._requests = requests
        self._messages = messages
        self._devices = devices
        self._lock = threading.Lock()
        self._working = threading.Event()
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def send(self, message: WorkerMessage) -> None:
        """Send one message, from any thread; ends the worker when the daemon has ended."""
        with self._lock:
            try:
                send_message(self._messages, message)
            except BrokenPipeError:
                # Not an OSError for the callers: they would take it for a problem of their files.
                raise SystemExit from None

    def serve(self) -> None:
        """Load the model, then read documents until the pipe closes."""
        structlog.configure(processors=[self._forward_log])
        setup = receive_setup(self._requests)
        threading.Thread(target=self._listen, name="requests", daemon=True).start()
        self._working.set()
        threading.Thread(target=self._send_heartbeats, name="heartbeat", daemon=True).start()
        os.environ.update(missing_variables(setup.environment, os.environ))
        reader = self._make_ready(setup)
        while reader is not None:
            self._working.clear()
            requests = decode_requests(self._lines.get()).requests
            self._working.set()
            if len(requests) == 1:
                reader.read(requests[0])
            else:
                reader.read_together(requests)

    def _listen(self) -> None:
        """Receive requests; end with the daemon, even during a download or a page."""
        for line in self._requests:
            self._lines.put(line)
        os._exit(0)

    def _send_heartbeats(self) -> None:
        while True:
            self._working.wait()  # an idle worker wakes up nothing
            time.sleep(HEARTBEAT_INTERVAL_S)
            if self._working.is_set():
                self.send(Heartbeat())

    def _forward_log(self, _logger: object, level: str, event: MutableMapping[str, Any]) -> str:
        """Send log events to the daemon: only one process writes and rotates the log."""
        if event.pop("exc_info", None):
            level = "error"
            event["stack"] = traceback.format_exc()
        self.send(LogRecord(level, event.pop("event"), dict(event)))
        raise structlog.DropEvent

    def _make_ready(self, setup: WorkerSetup) -> DocumentReader | None:
        """Returns None when nothing can be read, which has been reported then."""
        try:
            return self._load(setup)
        except OcrdError as error:
            kind = "model" if isinstance(error, ModelError) else "engine"
            self.send(StartFailed(kind, str(error)))  # type: ignore[arg-type]
        except Exception as error:  # a torch or pdfium that cannot be imported, for example
            structlog.get_logger(component="worker").exception("the engine cannot be started")
            message = f"the engine cannot be started ({type(error).__name__}: {error})"
            self.send(StartFailed("engine", message))
        return None

    def _load(self, setup: WorkerSetup) -> DocumentReader:
        startup = Startup(setup, self.send, devices=self._devices)
        runner = startup.run()
        # Imported only now: a model that is missing is reported before Pillow and pdfium load. But
        # before the worker is ready: it must not die over its first document because of them.
        from ocrd.documents.library_warnings import LibraryWarningLog
        from ocrd.worker.document_reader import DocumentReader

        warning_log = LibraryWarningLog(paths.state_dir())
        reader = DocumentReader(runner, self.send, warning_log=warning_log)
        self.send(WorkerReady(_describe(runner, startup)))
        return reader


def _describe(runner: EngineRunner, startup: Startup) -> BackendInfo:
    import torch
    import transformers

    return BackendInfo(
        device=runner.primary.device,
        dtype=runner.primary.dtype,
        mode=runner.mode,
        torch=torch.__version__,
        transformers=transformers.__version__,
        model=startup.model_identity(),
        skipped=runner.skipped,
        batch=runner.batch,
        tuned=asdict(runner.tuning),
    )


def missing_variables(wanted: Mapping[str, str], present: Mapping[str, str]) -> dict[str, str]:
    """Those of ``wanted`` that the user has not set.

    Of the two watermark ratios either both are set or none: torch refuses a low one above a high
    one.
    """
    user_set_watermark = any("WATERMARK" in name for name in present)
    return {
        name: value
        for name, value in wanted.items()
        if name not in present and not ("WATERMARK" in name and user_set_watermark)
    }


def main(devices: Devices | None = None) -> None:
    """Serve on the descriptors that the command line names."""
    request_fd, message_fd = (int(argument) for argument in sys.argv[1:3])
    # The engine's subprocesses must not keep the pipes open.
    os.set_inheritable(request_fd, False)  # noqa: FBT003
    os.set_inheritable(message_fd, False)  # noqa: FBT003
    # A broken pipe means that the daemon was killed and reads no answer.
    with (
        contextlib.suppress(BrokenPipeError),
        os.fdopen(request_fd, "rb") as requests,
        os.fdopen(message_fd, "wb") as messages,
    ):
        Child(requests, messages, devices=devices).serve()


if __name__ == "__main__":
    main()
