"""``ocrd recognize FILE``: read one file and print its text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocrd.cli.app import ConfigOption, JsonOption

if TYPE_CHECKING:
    from ocrd.worker.messages import Message


# Tries to reach the hub when the model has to be healed first.
TRIES = 3


def recognize(
    file: Annotated[Path, typer.Argument(help="A picture or PDF.")],
    config: ConfigOption = None,
    *,
    task: Annotated[
        str, typer.Option(help="text, markdown, figure, locate:WORDS or prompt:WORDS")
    ] = "text",
    as_markdown: Annotated[
        bool, typer.Option("--md", help="Print what the model wrote, as Markdown.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Read FILE and print what it says. Writes no sidecars."""
    from ocrd import log
    from ocrd.config import load_config
    from ocrd.errors import EngineError, SomeFilesFailed, UsageError
    from ocrd.files import hash_file
    from ocrd.journal import reading_from
    from ocrd.outputs import sidecar
    from ocrd.service.detect import default_config
    from ocrd.worker.from_config import provenance, read_request, worker_setup
    from ocrd.worker.process import Refused, Transient, Worker, WorkerDied, WorkerRetired
    from ocrd.worker.retry import read_with_retries

    if not file.is_file():
        raise UsageError(
            f"{file}: {'is not a plain file' if file.exists() else 'there is no such file'}"
        )
    settings = load_config(default_config(config))
    log.configure(settings.log.model_copy(update={"level": "warning"}), None)
    waiting = _Waiting()
    worker = Worker(
        worker_setup(settings, tries=TRIES),
        settings.engine.load_deadline,
        on_preparing=waiting.show,
    )
    pages = []
    ready = worker.ready
    try:
        for message in read_with_retries(
            worker, read_request(settings, "recognize", path=file.absolute(), task=task)
        ):
            ready = worker.ready or ready
            waiting.count(message)
            if message["event"] == "page":
                pages.append(reading_from(message["reading"]))
        assert ready is not None, "a worker that read was ready"
        source = sidecar.Source(file.name, file.stat().st_size, hash_file(file))
        rendered = sidecar.render(
            source, provenance(ready), task=task, pages=pages, formats=("txt", "md", "json")
        )
    except (WorkerDied, WorkerRetired) as error:
        raise EngineError(f"{file}: {error}; ocrd doctor may say why") from error
    except Refused as error:
        if error.error == "UsageError":
            raise UsageError(str(error)) from error
        if error.error == "EngineError":
            raise EngineError(str(error)) from error
        raise SomeFilesFailed(str(error)) from error
    except Transient as error:
        raise SomeFilesFailed(str(error)) from error
    finally:
        worker.stop()
    typer.echo(rendered["json" if as_json else "md" if as_markdown else "txt"], nl=False)


class _Waiting:
    """One line on a terminal's standard error about what has to be done before the file can be
    read.
    """

    def __init__(self) -> None:
        import sys

        self._out = sys.stderr
        self._said = ""
        self._pages = 1

    def count(self, message: Message) -> None:
        """How far the pages are, by the worker's ``opened``, ``tokens`` and ``page`` messages."""
        if not self._out.isatty():
            return
        match message["event"]:
            case "opened":
                self._pages = message["pages"]
            case "tokens":
                self._line(
                    f"page {message['page'] + 1} of {self._pages}: {message['count']} tokens"
                )
            case "page":
                self._line("")

    def show(self, message: Message) -> None:
        from ocrd.formatting import format_engine_state

        if not self._out.isatty():
            if message.get("state") == "waiting" and message["message"] != self._said:
                self._said = message["message"]
                print(f"ocrd: {format_engine_state(message)}", file=self._out)
            return
        words = format_engine_state({"state": message["event"], **message})
        ended = message["event"] == "ready"
        self._line("" if ended else words[:200])

    def _line(self, words: str) -> None:
        # Back to the line's begin and clear it, so that nothing stays when the text comes.
        self._out.write(f"\r\033[K{words}")
        self._out.flush()
