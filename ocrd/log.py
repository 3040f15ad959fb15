"""Logging with structlog: JSON lines in a rotating file, and readable lines on a terminal."""

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
from ocrd.paths import make_private_folder
from ocrd.system_commands import service_manager

LOG_FILE = "ocrd.log"
MAX_STDERR_BYTES = 1024 * 1024

_SHARED_PROCESSORS: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
]


def configure(config: LogConfig, folder: Path | None, *, quiet: bool = False) -> None:
    """Send log events to ``ocrd.log`` in ``folder`` and to standard error.

    Only this process rotates the file. The worker sends its events through its pipe.

    Args:
        config: Level and rotation.
        folder: Where ``ocrd.log`` is; created if needed. None for a command that a person reads:
            it logs to standard error only, without stack traces.
        quiet: Log nothing to standard error. Under a service manager it is a file that is never
            rotated.
    """
    handlers: list[logging.Handler] = []
    if not quiet:
        handlers.append(_terminal_handler(with_stacks=folder is not None))
    if folder is not None:
        handlers.append(_file_handler(make_private_folder(folder) / LOG_FILE, config))
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
        old.close()
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(config.level.upper())
    structlog.configure(
        processors=[*_SHARED_PROCESSORS, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def truncate_stderr(max_bytes: int = MAX_STDERR_BYTES) -> None:
    """Empty the file behind standard error when it has ``max_bytes`` or more.

    Under launchd that file is ``launchd.log``. It contains what was printed before logging began
    and what libraries print in the worker. launchd keeps it open, so ocrd empties the file instead
    of replacing it. A terminal or a pipe is left alone.
    """
    with contextlib.suppress(OSError):
        status = os.fstat(2)
        if service_manager() and stat.S_ISREG(status.st_mode) and status.st_size >= max_bytes:
            os.ftruncate(2, 0)
            os.lseek(2, 0, os.SEEK_SET)  # in case launchd did not open it for appending


def _remove_stack(_logger: object, _method: str, event: EventDict) -> EventDict:
    event.pop("stack", None)
    event.pop("exc_info", None)
    return event


def _terminal_handler(*, with_stacks: bool) -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    renderer: Processor = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    handler.setFormatter(
        _formatter(renderer) if with_stacks else _formatter(_remove_stack, renderer)
    )
    return handler


def _file_handler(path: Path, config: LogConfig) -> logging.Handler:
    handler = logging.handlers.RotatingFileHandler(
        path,
        maxBytes=config.max_megabytes * 1024 * 1024,
        backupCount=config.keep,
        encoding="utf-8",
        errors="backslashreplace",  # a file name that is not UTF-8 must not lose its log line
    )
    handler.setFormatter(
        _formatter(
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        )
    )
    return handler


def _formatter(*processors: Processor) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *processors],
        foreign_pre_chain=_SHARED_PROCESSORS,
    )
