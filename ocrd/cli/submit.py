"""``ocrd submit``: queue files where they are, for Finder, Hazel and scripts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocrd.cli.app import JsonOption
from ocrd.cli.progress_line import ProgressLine
from ocrd.formatting import printable

if TYPE_CHECKING:
    from ocrd.control.submit import FileProgress


def submit(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE", help="Pictures and PDFs, in any folder.")
    ],
    *,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until all are read; exit with 3 if one failed.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Queue files that are not in an inbox.

    Each file stays in its folder, and its sidecars are written next to it. A file that failed
    before is retried.
    """
    import json

    from ocrd.control.submit import follow, submit
    from ocrd.errors import SomeFilesFailed

    submitted, has_daemon = submit(files)
    refused = [entry for entry in submitted if entry.job is None]
    for entry in refused:
        print(f"ocrd: {printable(entry.error)}", file=sys.stderr)
    if not has_daemon and not wait and len(refused) < len(submitted):
        print("ocrd: queued; no daemon is running, start it with: ocrd start", file=sys.stderr)
    final_states: dict[Path, str] = {}
    if wait:
        line = ProgressLine()
        for progress in follow(submitted):
            final_states[progress.path] = progress.state
            _show(line, progress)
        line.clear()
    if as_json:
        document = [
            {
                "file": str(entry.path),
                "job": entry.job,
                "state": final_states.get(entry.path, "queued" if entry.job else "refused"),
            }
            for entry in submitted
        ]
        print(json.dumps(document, indent=2))
    failed = [path for path, state in final_states.items() if state != "done"]
    if refused or failed:
        count = len(refused) + len(failed)
        what = "read" if wait else "queued"
        raise SomeFilesFailed(f"{count} of {len(files)} file(s) could not be {what}")


def _show(line: ProgressLine, progress: FileProgress) -> None:
    """Print a line for a file that ended or is held up; update the line of one that is read."""
    name = printable(progress.path.name)
    message = printable(progress.message)
    if progress.state in ("done", "failed", "gone", "paused"):
        line.print_above(f"{name}: {progress.state}{f' ({message})' if message else ''}")
    elif progress.page_count:
        line.update(f"{name}: {progress.page_count} page(s) read")
    else:
        line.update(f"{name}: {message or progress.state}")
