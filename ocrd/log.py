"""Logging: structlog, as JSON lines in a rotating file, and readable in colour on a terminal."""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import os
import stat
import sys
from pathlib import Path

import structlog
from structlog.typing import EventDict, Processor

from ocrd.config import LogConfig
from ocrd.paths import private_folder
from ocrd.system_commands import service_manager

FILE = "ocrd.log"
LARGEST_STDERR = 1024 * 1024

_SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
]


def configure(config: LogConfig, folder: Path | None, *, quiet: bool = False) -> None:
    """Send events to ``folder``/ocrd.log when a folder is given, and to standard error.

    Without a folder it is a command that somebody reads: stack traces stay out. With ``quiet``
    nothing goes to standard error: a service's is a file that nobody rotates.

    The file is rotated by this process alone: the worker's events come to it through its pipe.
    """
    handlers: list[logging.Handler] = [] if quiet else [_terminal(stacks=folder is not None)]
    if folder is not None:
        handlers.append(_file(private_folder(folder) / FILE, config))
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
        old.close()
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(config.level.upper())
    structlog.configure(
        processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def bound_stderr(most: int = LARGEST_STDERR) -> None:
    """Empty the file that standard error goes to once it has ``most`` bytes.

    A terminal or pipe is left alone.

    Under launchd it is ``launchd.log``: what was printed before logging began, and what libraries
    print in the worker. launchd holds it open, so it is emptied, not replaced.
    """
    with contextlib.suppress(OSError):
        status = os.fstat(2)
        if service_manager() and stat.S_ISREG(status.st_mode) and status.st_size >= most:
            os.ftruncate(2, 0)
            os.lseek(2, 0, os.SEEK_SET)  # where launchd did not open it for appending


def _without_stack(_logger: object, _method: str, event: EventDict) -> EventDict:
    event.pop("stack", None)
    event.pop("exc_info", None)
    return event


def _terminal(*, stacks: bool) -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    renderer: Processor = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    handler.setFormatter(_formatter(renderer) if stacks else _formatter(renderer, _without_stack))
    return handler


def _file(path: Path, config: LogConfig) -> logging.Handler:
    handler = logging.handlers.RotatingFileHandler(
        path,
        maxBytes=config.max_megabytes * 1024 * 1024,
        backupCount=config.keep,
        encoding="utf-8",
        errors="backslashreplace",  # a name that is no UTF-8 must not cost its line
    )
    handler.setFormatter(
        _formatter(
            structlog.processors.JSONRenderer(ensure_ascii=False),
            structlog.processors.format_exc_info,
        )
    )
    return handler


def _formatter(renderer: Processor, *before: Processor) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *before, renderer],
        foreign_pre_chain=_SHARED,
    )
