"""``ocrd jobs``, ``retry``, ``pause`` and ``resume``: the queue, and what a person says to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocrd.cli.app import JsonOption

if TYPE_CHECKING:
    from ocrd.journal import Journal


def jobs(
    state: Annotated[
        str | None, typer.Option(help="Only those that are queued, running, done or failed.")
    ] = None,
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=1, help="How many, newest first.")
    ] = 20,
    *,
    as_json: JsonOption = False,
) -> None:
    """List what is queued, what was read and what failed."""
    import json
    from dataclasses import asdict

    from ocrd.errors import UsageError
    from ocrd.formatting import format_time, printable

    if state not in (None, "queued", "running", "done", "failed"):
        raise UsageError(f"--state is queued, running, done or failed, not {state}")
    with _journal() as journal:
        found = journal.jobs(state, lines)
    if as_json:
        told = [
            asdict(job) | {"path": str(job.path), "sidecars": [str(p) for p in job.sidecars]}
            for job in found
        ]
        print(json.dumps(told, indent=2, default=str))
        return
    for job in found:
        why = f": {job.message}" if job.message else ""
        print(printable(f"{format_time(job.changed):<16}  {job.state:<7}  {job.path}{why}"))


def retry(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Only these; without any, all that failed.")
    ] = None,
) -> None:
    """Try failed files again, and at once those that wait for another try."""
    import os

    from ocrd.control.submit import OWN_HOOK, in_hook_of
    from ocrd.control.wakeup import notify_daemon
    from ocrd.errors import UsageError

    for file in files or ():
        if in_hook_of(file):
            raise UsageError(f"{file}: {OWN_HOOK}")
    if not files and in_hook_of(None):
        raise UsageError(f"retry: {OWN_HOOK}")
    with _journal() as journal:
        if files:
            # As it was dropped, or as it was submitted: with its links followed.
            spelled = [
                {Path(os.path.abspath(file)), Path(os.path.realpath(file))}  # noqa: PTH100
                for file in files
            ]
            again = sum(max(journal.retry(path) for path in paths) for paths in spelled)
        else:
            again = journal.retry()
        heard = notify_daemon(journal.folder)
    print(
        f"{again} failed file(s) are queued again{'' if heard else '; no daemon runs: ocrd start'}"
    )


def pause() -> None:
    """Read nothing until `ocrd resume`, beyond the page in hand.

    What is dropped or submitted waits.
    """
    _say(paused=True)
    print("paused; go on with: ocrd resume")


def resume() -> None:
    """Go on after `ocrd pause`."""
    _say(paused=False)
    print("going on")


def _say(*, paused: bool) -> None:
    from ocrd.control.wakeup import notify_daemon

    with _journal() as journal:
        journal.set_fact("pause", paused)
        notify_daemon(journal.folder)


@contextmanager
def _journal() -> Iterator[Journal]:
    from ocrd import paths
    from ocrd.journal import Journal

    journal = Journal(paths.make_private_folder(paths.state_dir()))
    try:
        yield journal
    finally:
        journal.close()
