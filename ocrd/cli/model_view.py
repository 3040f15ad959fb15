"""How the model's state and its healing look on a terminal, and as JSON."""

from __future__ import annotations

import json
import sys
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import TaskID

    from ocrd.errors import ModelUnavailable
    from ocrd.model.fetch_plan import FetchPlan
    from ocrd.model.progress import TransferProgress
    from ocrd.model.report import Report
    from ocrd.model.storage import ModelStorage

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}
_HOW = {"staged": "fetched before", "link": "on this disk", "copy": "copied", "fetch": "fetched"}


class PhaseBars:
    """One bar for each phase, on standard error.

    Hashing, copying, fetching, with speed and time left.
    """

    def __init__(self, *, quiet: bool) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )
        from rich.progress import Progress as Bars

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
        )
        self._bars = Bars(
            *columns,
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
            disable=quiet,
        )
        self._task: TaskID | None = None
        self._phase = ""

    def __enter__(self) -> PhaseBars:
        self._bars.start()
        return self

    def __exit__(  # noqa: PLR0917 - the protocol of `with`
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def show(self, progress: TransferProgress) -> None:
        if not progress.total_bytes:
            return
        if self._task is None or progress.phase != self._phase:
            if self._task is not None:
                self._bars.remove_task(self._task)
            self._task = self._bars.add_task(progress.phase, total=progress.total_bytes)
            self._phase = progress.phase
        self._bars.update(self._task, completed=progress.done_bytes, total=progress.total_bytes)


class Waiting:
    """Says on standard error what is waited for, once for each reason in a row."""

    def __init__(self) -> None:
        self._said = ""

    def say(self, error: ModelUnavailable, seconds: float) -> None:
        if str(error) != self._said:
            self._said = str(error)
            print(f"ocrd: {error}", file=sys.stderr)
        if not error.locked:
            print(f"ocrd: trying again in {seconds:.0f} s; Ctrl-C ends it", file=sys.stderr)


def print_report(report: Report, *, as_json: bool) -> None:
    if as_json:
        checks = [vars(check) for check in report.checks]
        print(
            json.dumps(
                {
                    "folder": str(report.folder),
                    "full": report.full,
                    "ok": report.ok,
                    "checks": checks,
                },
                indent=2,
            )
        )
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=f"{report.folder}, {'full' if report.full else 'quick'}")
    for column in ("check", "", "found", "expected"):
        table.add_column(column, overflow="fold")
    for check in report.checks:
        # As plain text: a file's name or an error may hold what rich takes for markup.
        table.add_row(
            Text(check.name),
            Text(check.state, _COLOURS[check.state]),
            Text(check.found),
            Text(check.expected),
        )
    Console().print(table)


def print_whole(report: Report, *, as_json: bool) -> None:
    """What stands there after healing: one line, for there is nothing left to do."""
    from ocrd.model.manifest import read_manifest
    from ocrd.units import format_size

    if as_json:
        print_report(report, as_json=as_json)
    elif manifest := read_manifest(report.folder):
        what = f"{manifest.repo} at {manifest.revision}, {len(manifest.files)} files, {format_size(manifest.total_bytes)}"
        print(f"{report.folder}: the model is whole, every byte was hashed ({what})")


def print_plan(plan: FetchPlan | None, storage: ModelStorage, *, as_json: bool) -> None:
    """What healing would do; nothing when ``plan`` is None."""

    from ocrd.units import format_size

    removals = (
        [(place, place.removable_bytes()) for place in plan.removals if place.exists()]
        if plan
        else []
    )
    if as_json:
        files = plan.manifest.files if plan else {}
        print(json.dumps({
            "whole": plan is None,
            "folder": str(storage.installed.path),
            "revision": plan.manifest.revision if plan else None,
            "remove": [{"path": str(place.path), "bytes": size} for place, size in removals],
            "files": [
                {"name": n, "bytes": e.size, "how": plan.method(n), "from": str(s.path) if (s := plan.best_source(n)) else None}
                for n, e in sorted(files.items())
            ] if plan else [],
        }, indent=2))  # fmt: skip
        return
    if plan is None:
        print(f"{storage.installed.path}: the model is whole; nothing to do")
        return
    for place, size in removals:
        print(f"would remove {place.path} ({format_size(size)})")
    for name, entry in sorted(plan.manifest.files.items()):
        source = plan.best_source(name)
        origin = (
            f" from {source.path}"
            if source
            else f" from {plan.manifest.repo} at {plan.manifest.revision}"
        )
        print(f"{_HOW[plan.method(name)]:>15}  {format_size(entry.size):>9}  {name}{origin}")
    print(
        f"would fetch {format_size(plan.bytes_by('fetch'))} and put the model into {storage.installed.path}"
    )
