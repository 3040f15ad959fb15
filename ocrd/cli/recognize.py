"""``ocrd recognize``: read one file and print its text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocrd.cli.app import ConfigOption, JsonOption
from ocrd.cli.progress_line import ProgressLine

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ocrd.config import Config
    from ocrd.worker.messages import Message

# How often the hub is tried when the model must be downloaded first.
MAX_HUB_TRIES = 3


def recognize(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A picture or a PDF.")],
    config: ConfigOption = None,
    *,
    task: Annotated[
        str,
        typer.Option(metavar="TASK", help="text, markdown, figure, locate:WORDS or prompt:WORDS"),
    ] = "text",
    as_markdown: Annotated[
        bool, typer.Option("--md", help="Print the model's output as Markdown.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Read one file and print its text.

    Writes no sidecars.
    """
    from ocrd import log
    from ocrd.config import load_config
    from ocrd.errors import UsageError
    from ocrd.service.detect import default_config

    if not file.is_file():
        reason = "is not a plain file" if file.exists() else "does not exist"
        raise UsageError(f"{file}: {reason}")
    settings = load_config(default_config(config))
    log.configure(settings.log.model_copy(update={"level": "warning"}), None)
    format_ = "json" if as_json else "md" if as_markdown else "txt"
    typer.echo(_read(file, settings, task=task)[format_], nl=False)


def _read(file: Path, settings: Config, *, task: str) -> Mapping[str, bytes]:
    """Read a file with a worker of this command.

    Returns:
        The sidecars' contents by their formats: ``txt``, ``md`` and ``json``.
    """
    from ocrd.errors import EngineError, SomeFilesFailed, UsageError
    from ocrd.files import hash_file
    from ocrd.journal import reading_from
    from ocrd.outputs import sidecar
    from ocrd.worker.from_config import provenance, read_request, worker_setup
    from ocrd.worker.process import Refused, Transient, Worker, WorkerDied, WorkerRetired
    from ocrd.worker.retry import read_with_retries

    progress = _Progress()
    worker = Worker(
        worker_setup(settings, tries=MAX_HUB_TRIES),
        settings.engine.load_deadline,
        on_preparing=progress.show_state,
    )
    request = read_request(settings, "recognize", path=file.absolute(), task=task)
    pages = []
    ready = worker.ready
    try:
        for message in read_with_retries(worker, request):
            ready = worker.ready or ready
            progress.show_page(message)
            if message["event"] == "page":
                pages.append(reading_from(message["reading"]))
    except (WorkerDied, WorkerRetired) as error:
        raise EngineError(f"{file}: {error}; check: ocrd doctor") from error
    except Refused as error:
        classes = {"UsageError": UsageError, "EngineError": EngineError}
        raise classes.get(error.error, SomeFilesFailed)(str(error)) from error
    except Transient as error:
        raise SomeFilesFailed(str(error)) from error
    finally:
        worker.stop()
    assert ready is not None, "a worker that read was ready"
    source = sidecar.Source(file.name, file.stat().st_size, hash_file(file))
    formats = ("txt", "md", "json")
    return sidecar.render(source, provenance(ready), task=task, pages=pages, formats=formats)


class _Progress:
    """Shows on standard error what happens until the text is printed."""

    def __init__(self) -> None:
        self._line = ProgressLine()
        self._pages = 1
        self._last_error = ""

    def show_page(self, message: Message) -> None:
        """Show the worker's ``opened``, ``tokens`` and ``page`` messages."""
        match message["event"]:
            case "opened":
                self._pages = message["pages"]
            case "tokens":
                page = f"page {message['page'] + 1} of {self._pages}"
                self._line.update(f"{page}: {message['count']} tokens")
            case "page":
                self._line.clear()

    def show_state(self, message: Message) -> None:
        """Show the worker's messages while it starts."""
        from ocrd.formatting import format_engine_state

        if not self._line.is_terminal:
            # Only why it waits, once per reason: a log should not grow with the progress.
            is_new = message.get("state") == "waiting" and message["message"] != self._last_error
            if is_new:
                self._last_error = message["message"]
                self._line.print_above(f"ocrd: {format_engine_state(message)}")
        elif message["event"] == "ready":
            self._line.clear()
        else:
            self._line.update(format_engine_state({"state": message["event"], **message}))
