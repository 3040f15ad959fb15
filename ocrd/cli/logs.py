"""``ocrd logs``: the daemon's log, as a person reads it."""

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

# Seconds between two looks with ``--follow``.
PAUSE = 0.5
_OWN_PLACE = frozenset({"timestamp", "level", "event", "stack", "exception", "component"})


def logs(
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=0, help="How many of the last lines.")
    ] = 50,
    *,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what is logged from now on.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show the daemon's log; with --json the lines as they stand in the file."""
    from ocrd import log, paths
    from ocrd.errors import ServiceError
    from ocrd.formatting import printable
    from ocrd.service.installation import log_file

    path = paths.log_dir() / log.LOG_FILE
    early = log_file()
    try:
        if (
            not as_json
            and early.is_file()
            and (said := early.read_text(encoding="utf-8", errors="replace").strip())
        ):
            print(
                f"{early}, before logging began:",
                *map(printable, said.splitlines()),
                "",
                sep="\n",
                file=sys.stderr,
            )
        if not path.exists() and not follow:
            raise ServiceError(f"{path}: there is no log yet; the daemon writes it")
        coming: Iterable[str] = log_lines(path, lines) if follow else _last(path, lines)
        for line in coming:
            print(line if as_json else readable(line), flush=True)
    except BrokenPipeError:  # `ocrd logs | head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        raise ServiceError(f"{path}: cannot be read ({error.strerror})") from error


def _last(path: Path, count: int) -> list[str]:
    """The last lines, from the rotated file before it too where it has too few."""
    last: deque[str] = deque(maxlen=count)
    for file in (path.with_name(f"{path.name}.1"), path):
        if file.exists():
            with _opened(file) as opened:
                last.extend(line.rstrip("\n") for line in opened)
    return list(last)


def log_lines(
    path: Path, last: int, *, sleep: Callable[[float], None] = time.sleep
) -> Generator[str, None, None]:
    """The last lines, then whole lines as they are written, through rotations, until the reader
    has enough.
    """
    file = _opened(path) if path.exists() else None
    rest = ""
    try:
        if file:
            *whole, rest = file.read().split("\n")
            older = _last(path.with_name(f"{path.name}.1"), last) if len(whole) < last else []
            yield from [*older, *whole][-last:] if last else []
        while True:
            rest += file.read() if file else ""
            *whole, rest = rest.split("\n")
            yield from whole
            if _rotated(path, file):
                if file:
                    yield from (rest + file.read()).splitlines()
                    file.close()
                file = _opened(path)
                rest = ""
                continue
            sleep(PAUSE)
    finally:
        if file:
            file.close()


def _opened(path: Path) -> IO[str]:
    return path.open(encoding="utf-8", errors="replace")


def _rotated(path: Path, file: IO[str] | None) -> bool:
    """Whether another file than the one that is read stands in its place."""
    try:
        now = path.stat().st_ino
    except OSError:  # between two renames
        return False
    return file is None or now != os.fstat(file.fileno()).st_ino


def readable(line: str) -> str:
    """``16:04:12 warning  worker.

    The worker died  file=...``, a stack trace below it; a line of others as it is.
    """
    from ocrd.formatting import printable

    try:
        event: dict[str, Any] = json.loads(line)
        then = datetime.fromisoformat(event["timestamp"]).astimezone()  # the file's times are UTC
        when = then.strftime("%Y-%m-%d %H:%M:%S")
        level = event["level"]
        what = event["event"]
    except (ValueError, KeyError, TypeError):
        return printable(line)
    component = f"{event['component']}: " if "component" in event else ""
    fields = "".join(f"  {key}={value}" for key, value in event.items() if key not in _OWN_PLACE)
    stacks = [event[key] for key in ("stack", "exception") if event.get(key)]
    lines = [
        f"{when} {level:<8} {component}{what}{fields}",
        *(line for s in stacks for line in str(s).splitlines()),
    ]
    return "\n".join(map(printable, lines))
