"""``ocrd jobs``, ``retry``, ``pause`` and ``resume``: the queue."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocrd.cli.app import JsonOption

if TYPE_CHECKING:
    from ocrd.journal import Journal

STATES = ("queued", "running", "done", "failed")


def jobs(
    state: Annotated[
        str | None,
        typer.Option(metavar="STATE", help="Only files that are queued, running, done or failed."),
    ] = None,
    lines: Annotated[
        int,
        typer.Option(
            "--lines", "-n", metavar="N", min=1, help="List this many files, newest first."
        ),
    ] = 20,
    *,
    as_json: JsonOption = False,
) -> None:
    """List the files that are queued, read or failed."""
    import json
    from dataclasses import asdict

    from ocrd.errors import UsageError
    from ocrd.formatting import format_time, printable

    if state is not None and state not in STATES:
        raise UsageError(f"--state must be queued, running, done or failed, not {state}")
    with _open_journal() as journal:
        found = journal.history.recent(state, lines)
    if as_json:
        document = [
            asdict(job) | {"path": str(job.path), "sidecars": [str(p) for p in job.sidecars]}
            for job in found
        ]
        print(json.dumps(document, indent=2, default=str))
        return
    for job in found:
        message = f": {job.message}" if job.message else ""
        print(printable(f"{format_time(job.changed):<16}  {job.state:<7}  {job.path}{message}"))


def retry(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FILE", help="Only these files; by default all that failed."),
    ] = None,
) -> None:
    """Retry failed files, and read waiting files without delay."""
    import os

    from ocrd.control.submit import IN_OWN_HOOK, is_in_hook_of
    from ocrd.control.wakeup import notify_daemon
    from ocrd.errors import UsageError

    for file in files or ():
        if is_in_hook_of(file):
            raise UsageError(f"{file}: {IN_OWN_HOOK}")
    if not files and is_in_hook_of(None):
        raise UsageError(f"retry: {IN_OWN_HOOK}")
    with _open_journal() as journal:
        if files:
            count = 0
            for file in files:
                # The path of a dropped file, or that of a submitted file, whose links are resolved.
                spellings = {Path(os.path.abspath(file)), Path(os.path.realpath(file))}  # noqa: PTH100
                count += max(journal.jobs.retry(path) for path in spellings)
        else:
            count = journal.jobs.retry()
        has_daemon = notify_daemon(journal.folder)
    hint = "" if has_daemon else "; no daemon is running, start it with: ocrd start"
    print(f"{count} failed file(s) queued again{hint}")


def pause() -> None:
    """Pause reading after the current page.

    Files that are dropped or submitted wait in the queue until ocrd resume.
    """
    _set_paused(paused=True)
    print("paused; to continue, run: ocrd resume")


def resume() -> None:
    """Resume reading after ocrd pause."""
    _set_paused(paused=False)
    print("resumed")


def _set_paused(*, paused: bool) -> None:
    from ocrd.control.wakeup import notify_daemon

    with _open_journal() as journal:
        journal.status.request_pause(pause=paused)
        notify_daemon(journal.folder)


@contextmanager
def _open_journal() -> Iterator[Journal]:
    from ocrd import paths
    from ocrd.journal import Journal

    journal = Journal(paths.make_private_folder(paths.state_dir()))
    try:
        yield journal
    finally:
        journal.close()
