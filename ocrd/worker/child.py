"""The worker's side: load the model once, then read document after document until the pipe closes.

Run as ``python -m ocrd.worker.child READ_FD WRITE_FD``. It opens untrusted files, so it may be
killed at any time; it holds nothing that is not in the journal or on disk.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import IO, TYPE_CHECKING, Any

import psutil
import structlog

from ocrd.documents.document import open_document
from ocrd.documents.page import DocumentLimits
from ocrd.errors import DocumentError, FreshWorkerNeeded, ModelError, OcrdError
from ocrd.types import PageReading
from ocrd.worker.messages import Message, Request, Setup, asked, send
from ocrd.worker.startup import Startup

if TYPE_CHECKING:
    from PIL import Image

    from ocrd.engine.runtime.devices import Devices
    from ocrd.engine.runtime.engine_runner import EngineRunner

# Seconds between two signs of life.
BEAT = 5.0
TOKENS_BETWEEN_REPORTS = 16


class Child:
    def __init__(
        self, requests: IO[bytes], answers: IO[bytes], *, devices: Devices | None = None
    ) -> None:
        """``devices`` in place of torch's own, for tests."""
        self._requests = requests
        self._answers = answers
        self._devices = devices
        self._lock = threading.Lock()
        self._working = threading.Event()
        self._asked: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def say(self, **message: object) -> None:
        with self._lock:
            try:
                send(self._answers, message)
            except BrokenPipeError:
                # Not an OSError to those who call: to them it would look like trouble with their
                # own files.
                raise SystemExit from None

    def serve(self) -> None:
        structlog.configure(processors=[self._forward_log])
        setup = Setup(**json.loads(self._requests.readline()))
        threading.Thread(target=self._listen, name="requests", daemon=True).start()
        self._working.set()
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()
        os.environ.update(missing_variables(setup.environment, os.environ))
        runner = self._load(setup)
        while runner is not None:
            self._working.clear()
            requests = asked(self._asked.get())
            self._working.set()
            if len(requests) == 1:
                self._read(runner, requests[0])
            else:
                self._read_together(runner, requests)

    def _listen(self) -> None:
        """Take requests; end with the parent, at once, in the middle of a download or of a page
        too.
        """
        for line in self._requests:
            self._asked.put(line)
        os._exit(0)

    def _beat(self) -> None:
        """Signs of life while something is done; an idle worker wakes nobody."""
        while True:
            self._working.wait()
            time.sleep(BEAT)
            if self._working.is_set():
                self.say(event="alive")

    def _forward_log(self, _logger: object, level: str, event: MutableMapping[str, Any]) -> str:
        """What is logged here stands in the parent's log.

        One process alone writes and rotates that.
        """
        if event.pop("exc_info", None):
            level = "error"
            event["stack"] = traceback.format_exc()
        self.say(event="log", level=level, message=event.pop("event"), fields=dict(event))
        raise structlog.DropEvent

    def _load(self, setup: Setup) -> EngineRunner | None:
        try:
            warm_up = Startup(setup, self.say, devices=self._devices)
            runner = warm_up.runner()
        except OcrdError as error:
            kind = ModelError if isinstance(error, ModelError) else type(error)
            self._refuse(None, kind.__name__, reason="model", message=str(error))
            return None
        except Exception as error:  # torch that does not import, say: what unwinds from here would be heard by nobody
            structlog.get_logger(component="worker").exception("the engine cannot be started")
            self._refuse(
                None,
                "EngineError",
                reason="engine",
                message=f"the engine cannot be started ({type(error).__name__}: {error})",
            )
            return None
        import torch
        import transformers

        self.say(
            event="ready",
            device=runner.primary.device,
            dtype=runner.primary.dtype,
            mode=runner.mode,
            torch=torch.__version__,
            transformers=transformers.__version__,
            model=warm_up.identity(),
            skipped=runner.skipped,
            batch=runner.batch,
            tuned=asdict(runner.tuning),
        )
        return runner

    def _read(self, runner: EngineRunner, request: Request) -> None:
        try:
            self._read_document(runner, request)
        except DocumentError as error:
            self._refuse(request.job, type(error).__name__, reason=error.reason, message=str(error))
        except FreshWorkerNeeded as error:
            said = [asdict(fallback) for fallback in error.fallbacks]
            self.say(event="retire", job=request.job, message=str(error), fallbacks=said)
            raise SystemExit from None
        except OcrdError as error:
            self._refuse(request.job, type(error).__name__, reason="engine", message=str(error))
        except OSError as error:
            self._not_now(request, error)
        except Exception as error:  # one page must not end the worker; the whole trace is kept
            stack = traceback.format_exc()
            self.say(
                event="log",
                level="error",
                message="reading failed",
                job=request.job,
                fields={"stack": stack},
            )
            what = f"{request.file.name}: the engine failed ({type(error).__name__}: {error}); the log has the stack trace"
            self._refuse(request.job, "EngineError", reason="engine", message=what)

    def _read_document(self, runner: EngineRunner, request: Request) -> None:
        with open_document(request.file, _sizes(request)) as document:
            self.say(event="opened", job=request.job, pages=document.page_count)
            telling = _Telling(self, runner, {})

            def pages() -> Iterator[tuple[int, Image.Image]]:
                coming = document.pages(request.start)
                while True:
                    self.say(
                        event="drawing", job=request.job
                    )  # which may take its time, whatever else is waited for
                    page = next(coming, None)
                    if page is None:
                        return
                    telling.expect(page.index, request.job, page=page.index, image=page.image)
                    yield page.index, page.image

            for reading in telling.read(pages(), request):
                self.say(event="page", job=request.job, reading=asdict(reading))
        self._finished(runner, request)

    def _read_together(self, runner: EngineRunner, requests: Sequence[Request]) -> None:
        """Pictures of one page each.

        What one of them says no to is its own affair; anything else parts them.
        """
        telling = _Telling(self, runner, {})

        def pages() -> Iterator[tuple[int, Image.Image]]:
            for number, request in enumerate(requests):
                if (image := self._only_page(request)) is not None:
                    telling.expect(number, request.job, page=0, image=image)
                    yield number, image

        last: Request | None = None
        try:
            for reading in telling.read(pages(), requests[0]):
                if last:
                    self._finished(runner, last)
                last = requests[reading.index]
                self.say(event="page", job=last.job, reading=asdict(_as_first(reading)))
            if last:  # behind the batch, whose memory is not what the worker keeps
                self._finished(runner, last)
        except FreshWorkerNeeded as error:  # this worker is used up, and says so by ending
            self.say(event="apart", message=str(error))
            raise SystemExit from None
        except Exception as error:  # which of them it was will show when each is read by itself
            self.say(event="log", level="warning", message="pictures are read one by one", job=None,
                     fields={"stack": traceback.format_exc()})  # fmt: skip
            self.say(event="apart", message=f"{type(error).__name__}: {error}")

    def _only_page(self, request: Request) -> Image.Image | None:
        """The picture, or None when it was refused."""
        try:
            with open_document(request.file, _sizes(request)) as document:
                self.say(event="opened", job=request.job, pages=1)
                return next(iter(document.pages(0))).image
        except DocumentError as error:
            self._refuse(request.job, type(error).__name__, reason=error.reason, message=str(error))
        except OSError as error:
            self._not_now(request, error)
        return None

    def _finished(self, runner: EngineRunner, request: Request) -> None:
        memory = [psutil.Process().memory_info().rss, runner.driver_bytes()]
        self.say(event="finished", job=request.job, memory=memory)

    def _not_now(self, request: Request, error: OSError) -> None:
        self.say(
            event="transient",
            job=request.job,
            message=f"{request.file.name}: {error.strerror or error}",
        )

    def _refuse(self, job: str | None, error: str, *, reason: str, message: str) -> None:
        refusal: Message = {
            "event": "refused",
            "job": job,
            "error": error,
            "reason": reason,
            "message": message,
        }
        self.say(**refusal)


@dataclass
class _Telling:
    """What the parent hears while pages are read.

    The engine knows them by a key, the parent by job and page.
    """

    child: Child
    runner: EngineRunner
    # Job, page, and the seconds within which its first tokens are there, by key.
    known: dict[int, tuple[str, int, float]]

    def expect(self, key: int, job: str, *, page: int, image: Image.Image) -> None:
        self.known[key] = (job, page, self.runner.timeout_s(image, tokens=TOKENS_BETWEEN_REPORTS))

    def read(
        self, pages: Iterator[tuple[int, Image.Image]], request: Request
    ) -> Iterator[PageReading]:
        from ocrd.engine.decode import DecodeLimits
        from ocrd.engine.runtime.read_options import ReadOptions

        options = ReadOptions(
            task=request.task,
            limits=DecodeLimits(
                max_new_tokens=request.max_new_tokens, deadline_s=request.page_deadline
            ),
            progress=self,
            in_new_worker=request.fresh,
            page_by_page=request.alone,
        )
        return self.runner.read_pages(pages, options)

    def tokens(self, index: int, count: int) -> None:
        """Report the tokens of a page now and then."""
        if count % TOKENS_BETWEEN_REPORTS == 0:
            job, page, _ = self.known[index]
            self.child.say(event="tokens", job=job, page=page, count=count)

    def attempt(self, index: int) -> None:
        """Report that a page is being read."""
        job, page, within = self.known[index]
        self.child.say(event="reading", job=job, page=page, within=within)


def _sizes(request: Request) -> DocumentLimits:
    return DocumentLimits(
        max_bytes=request.max_bytes, max_pixels=request.max_pixels, dpi=request.dpi
    )


def _as_first(reading: PageReading) -> PageReading:
    """The reading of a picture's only page, whatever its key was."""
    blocks = tuple(replace(block, page=0) for block in reading.blocks)
    fallbacks = tuple(replace(fallback, page=0) for fallback in reading.fallbacks)
    return replace(reading, index=0, blocks=blocks, fallbacks=fallbacks)


def missing_variables(wanted: Mapping[str, str], here: Mapping[str, str]) -> dict[str, str]:
    """Those of ``wanted`` that the user has not set.

    Of the two watermarks both or none, for they must agree.
    """
    given = {"WATERMARK" for name in here if "WATERMARK" in name}
    return {n: v for n, v in wanted.items() if n not in here and not ("WATERMARK" in n and given)}


def main(devices: Devices | None = None) -> None:
    requests, answers = (int(fd) for fd in sys.argv[1:3])
    os.set_inheritable(requests, False)  # noqa: FBT003
    os.set_inheritable(answers, False)  # noqa: FBT003
    # A broken pipe: the parent was killed, and there is nobody left to answer.
    with (
        contextlib.suppress(BrokenPipeError),
        os.fdopen(requests, "rb") as reading,
        os.fdopen(answers, "wb") as writing,
    ):
        Child(reading, writing, devices=devices).serve()


if __name__ == "__main__":
    main()
