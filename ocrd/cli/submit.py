"""``ocrd submit FILE...``.

For Finder, Hazel and scripts. It answers at once, whatever the daemon does.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ocrd.cli.app import JsonOption
from ocrd.formatting import printable


def submit(
    files: Annotated[
        list[Path], typer.Argument(help="Pictures and PDFs; each is read where it lies.")
    ],
    *,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until all are read; 3 when one was not.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Have files read where they lie.

    Their sidecars come beside them. What failed before is tried anew.
    """
    import json

    from ocrd.control.submit import follow, submit
    from ocrd.errors import SomeFilesFailed

    submitted, heard = submit(files)
    refused = [given for given in submitted if given.job is None]
    for given in refused:
        print(f"ocrd: {printable(given.why)}", file=sys.stderr)
    if not heard and not wait and len(refused) < len(submitted):
        print("ocrd: queued; no daemon is running, so it waits: ocrd start", file=sys.stderr)
    ended: dict[Path, str] = {}
    if wait:
        line = _Line()
        for progress in follow(submitted):
            ended[progress.path] = progress.state
            line.show(progress.path, progress.state, message=progress.message, pages=progress.pages)
        line.end()
    if as_json:
        told = [
            {
                "file": str(g.path),
                "job": g.job,
                "state": ended.get(g.path, "queued" if g.job else "refused"),
            }
            for g in submitted
        ]
        print(json.dumps(told, indent=2))
    failed = [path for path, state in ended.items() if state != "done"]
    if refused or failed:
        what = "read" if wait else "queued"
        raise SomeFilesFailed(
            f"{len(refused) + len(failed)} of {len(files)} file(s) could not be {what}"
        )


class _Line:
    """A line for each file that ended or is held up, and on a terminal one that moves for the
    one in hand.

    All on standard error.
    """

    def __init__(self) -> None:
        self._moves = sys.stderr.isatty()

    def show(self, path: Path, state: str, *, message: str, pages: int) -> None:
        name = printable(path.name)
        if state in ("done", "failed", "gone", "paused"):
            self._write(f"{name}: {state}{f' ({printable(message)})' if message else ''}\n")
        elif self._moves:
            said = f"{pages} page(s) read" if pages else message or state
            self._write(f"{name}: {printable(said)}"[:200])

    def end(self) -> None:
        self._write("")

    def _write(self, words: str) -> None:
        # Back to the line's begin and clear it, so that nothing stays of the one that moves.
        sys.stderr.write(f"\r\033[K{words}" if self._moves else words)
        sys.stderr.flush()
