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
    from ocrd.errors import OcrdError, ReadRefused
    from ocrd.read_protocol import PageEvent
    from ocrd.status import EngineReady, PreparationStatus

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
    from ocrd.backends.local import make_local_backend
    from ocrd.backends.retry import read_with_retries
    from ocrd.errors import BackendCrashed, BackendExhausted, EngineError, ReadRefused
    from ocrd.files import hash_file
    from ocrd.outputs import sidecar
    from ocrd.read_protocol import PageRead
    from ocrd.serialization import decode_reading
    from ocrd.worker.from_config import read_request

    progress = _Progress()
    backend = make_local_backend(
        settings, max_fetch_tries=MAX_HUB_TRIES, on_status=progress.show_status
    )
    request = read_request(settings, file.absolute(), job="recognize", task=task)
    pages = []
    try:
        for event in read_with_retries(backend, request):
            progress.show_event(event)
            if isinstance(event, PageRead):
                pages.append(decode_reading(event.reading))
    except (BackendCrashed, BackendExhausted) as error:
        raise EngineError(f"{file}: {error}; check: ocrd doctor") from error
    except ReadRefused as error:
        raise _with_exit_code(error) from error
    finally:
        backend.stop()
    assert backend.info is not None, "a backend that read was ready"
    return sidecar.render(
        sidecar.Source(file.name, file.stat().st_size, hash_file(file)),
        pages,
        backend=backend.info,
        task=task,
        formats=sidecar.FORMATS,
    )


def _with_exit_code(error: ReadRefused) -> OcrdError:
    """Return the error whose exit code fits the reason for which the file was refused."""
    from ocrd.errors import EngineError, RefusalReason, UsageError

    if error.reason == RefusalReason.USAGE:
        return UsageError(str(error))
    if error.reason == RefusalReason.ENGINE:
        return EngineError(str(error))
    return error


class _Progress:
    """Shows on standard error what happens until the text is printed."""

    def __init__(self) -> None:
        self._line = ProgressLine()
        self._page_count = 1
        self._last_wait = ""

    def show_event(self, event: PageEvent) -> None:
        """Show how far the pages are."""
        from ocrd.read_protocol import DocumentOpened, TokensWritten

        match event:
            case DocumentOpened():
                self._page_count = event.page_count
            case TokensWritten():
                page = f"page {event.page + 1} of {self._page_count}"
                self._line.update(f"{page}: {event.count} tokens")
            case _:
                self._line.clear()

    def show_status(self, status: PreparationStatus | EngineReady) -> None:
        """Show how far the engine is."""
        from ocrd.formatting import format_engine_state
        from ocrd.status import EngineReady, WaitingForModel

        if self._line.is_terminal:
            ready = isinstance(status, EngineReady)
            self._line.update("" if ready else format_engine_state(status))
        elif isinstance(status, WaitingForModel) and status.message != self._last_wait:
            # Only why it waits, once per reason: a log should not grow with the progress.
            self._last_wait = status.message
            self._line.print_above(f"ocrd: {format_engine_state(status)}")
