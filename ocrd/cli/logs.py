"""``ocrd logs``: the daemon's log, as a person reads it."""

from __future__ import annotations

import json
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from ocrd.cli.app import JsonOption

PAUSE = 0.5
"""Seconds between two looks with ``--follow``."""
_OWN_PLACE = frozenset({"timestamp", "level", "event", "stack", "exception", "component"})


def logs(
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last lines.")] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is logged from now on.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show the daemon's log; with --json the lines as they stand in the file."""
    from ocrd import log, paths
    from ocrd.errors import ServiceError
    from ocrd.service.install import log_file

    path = paths.log_dir() / log.FILE
    early = log_file()
    try:
        if not as_json and early.is_file() and (said := early.read_text(encoding="utf-8", errors="replace").strip()):
            print(f"{early}, before logging began:\n{said}\n", file=sys.stderr)
        if not path.exists() and not follow:
            raise ServiceError(f"{path}: there is no log yet; the daemon writes it")
        for line in _last(path, lines):
            _show(line, as_json)
        if follow:
            for line in _coming(path):
                _show(line, as_json)
    except OSError as error:
        raise ServiceError(f"{path}: cannot be read ({error.strerror})") from error


def _last(path: Path, count: int) -> list[str]:
    """The last lines, from the rotated file before it too where it has too few."""
    last: deque[str] = deque(maxlen=count)
    for file in (path.with_name(f"{path.name}.1"), path):
        if file.exists():
            with file.open(encoding="utf-8", errors="replace") as opened:
                last.extend(opened)
    return list(last)


def _coming(path: Path, sleep: Callable[[float], None] = time.sleep) -> Iterator[str]:
    """Whole lines as they are written, through rotations, until the reader has enough."""
    file, rest = (path.open(encoding="utf-8", errors="replace") if path.exists() else None), ""
    if file:
        file.seek(0, 2)
    try:
        while True:
            rest += file.read() if file else ""
            *whole, rest = rest.split("\n")
            yield from whole
            if path.exists() and (file is None or path.stat().st_ino != os.fstat(file.fileno()).st_ino):
                if file:
                    yield from (rest + file.read()).splitlines()
                    file.close()
                file, rest = path.open(encoding="utf-8", errors="replace"), ""
                continue
            sleep(PAUSE)
    finally:
        if file:
            file.close()


def _show(line: str, as_json: bool) -> None:
    print(line.rstrip("\n") if as_json else readable(line), flush=True)


def readable(line: str) -> str:
    """``16:04:12 warning  worker: the worker died  file=...``, a stack trace below it; a line of others as it is."""
    try:
        event: dict[str, Any] = json.loads(line)
        when, level, what = event["timestamp"][:19].replace("T", " "), event["level"], event["event"]
    except (ValueError, KeyError, TypeError):
        return line.rstrip("\n")
    component = f"{event['component']}: " if "component" in event else ""
    fields = "".join(f"  {key}={value}" for key, value in event.items() if key not in _OWN_PLACE)
    stack = "".join(f"\n{event[key]}" for key in ("stack", "exception") if event.get(key))
    return f"{when} {level:<8} {component}{what}{fields}{stack}"
