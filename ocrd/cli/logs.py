"""``ocrd logs``: the daemon's log in readable lines."""

from __future__ import annotations

import json
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from datetime import datetime
from pathlib import Path
from typing import IO, Annotated, Any

import typer

from ocrd.cli.app import JsonOption

POLL_INTERVAL_S = 0.5
# The fields of a line that `readable` shows in a place of their own.
_PLACED_FIELDS = frozenset({"timestamp", "level", "event", "stack", "exception", "component"})


def logs(
    lines: Annotated[
        int,
        typer.Option("--lines", "-n", metavar="N", min=0, help="Show this many of the last lines."),
    ] = 50,
    *,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Keep running and show new lines.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show the daemon's log.

    With --json, show the lines as they are in the file.
    """
    from ocrd import log, paths
    from ocrd.errors import ServiceError

    path = paths.log_dir() / log.LOG_FILE
    try:
        if not as_json:
            _print_early_output()
        if not path.exists() and not follow:
            raise ServiceError(f"{path}: there is no log yet; start the daemon with: ocrd start")
        shown: Iterable[str] = follow_lines(path, lines) if follow else last_lines(path, lines)
        for line in shown:
            print(line if as_json else readable(line), flush=True)
    except BrokenPipeError:  # `ocrd logs | head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        raise ServiceError(f"{path}: cannot be read ({error.strerror})") from error


def _print_early_output() -> None:
    """Print to standard error what the service printed before logging began."""
    from ocrd.formatting import printable
    from ocrd.service.installation import launchd_log_file

    path = launchd_log_file()
    if not path.is_file():
        return
    text = path.read_text(encoding="utf-8", errors="replace").strip()
    if text:
        lines = [f"{path}, before logging began:", *map(printable, text.splitlines()), ""]
        print("\n".join(lines), file=sys.stderr)


def last_lines(path: Path, count: int) -> list[str]:
    """Return the last lines of the log, from the rotated file too when the log has too few."""
    last: deque[str] = deque(maxlen=count)
    for file in (_rotated_file(path), path):
        if file.exists():
            with _open(file) as opened:
                last.extend(line.rstrip("\n") for line in opened)
    return list(last)


def follow_lines(
    path: Path, count: int, *, sleep: Callable[[float], None] = time.sleep
) -> Generator[str, None, None]:
    """Yield the last lines, then each complete line as it is written, through rotations.

    Args:
        path: The log; it may not exist yet.
        count: How many of the last lines to begin with.
        sleep: Waits between two reads.

    Yields:
        Lines without their line feed, until the caller closes the generator.
    """
    file = _open(path) if path.exists() else None
    partial = ""
    try:
        if file:
            *complete, partial = file.read().split("\n")
            older = last_lines(_rotated_file(path), count) if len(complete) < count else []
            yield from [*older, *complete][-count:] if count else []
        while True:
            partial += file.read() if file else ""
            *complete, partial = partial.split("\n")
            yield from complete
            if _was_rotated(path, file):
                if file:
                    yield from (partial + file.read()).splitlines()
                    file.close()
                file = _open(path)
                partial = ""
                continue
            sleep(POLL_INTERVAL_S)
    finally:
        if file:
            file.close()


def readable(line: str) -> str:
    """Format one line of the log for a person.

    Returns:
        A line such as ``2026-11-26 16:04:12 warning  worker: the worker died  file=a.png``,
        followed by the stack trace if there is one. A line that ocrd did not write stays as it is.
    """
    from ocrd.formatting import printable

    try:
        event: dict[str, Any] = json.loads(line)
        local = datetime.fromisoformat(event["timestamp"]).astimezone()  # the log's times are UTC
        time_ = local.strftime("%Y-%m-%d %H:%M:%S")
        level = event["level"]
        message = event["event"]
    except (ValueError, KeyError, TypeError):
        return printable(line)
    component = f"{event['component']}: " if "component" in event else ""
    fields = "".join(
        f"  {key}={value}" for key, value in event.items() if key not in _PLACED_FIELDS
    )
    lines = [f"{time_} {level:<8} {component}{message}{fields}"]
    for key in ("stack", "exception"):
        lines += str(event.get(key) or "").splitlines()
    return "\n".join(map(printable, lines))


def _rotated_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.1")


def _open(path: Path) -> IO[str]:
    return path.open(encoding="utf-8", errors="replace")


def _was_rotated(path: Path, file: IO[str] | None) -> bool:
    """Return whether ``path`` is now another file than the open one."""
    try:
        inode = path.stat().st_ino
    except OSError:  # between two renames
        return False
    return file is None or inode != os.fstat(file.fileno()).st_ino
