"""The model's checks and its healing, on a terminal and as JSON."""

from __future__ import annotations

import json
import sys
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import TaskID

    from ocrd.errors import ModelUnavailable
    from ocrd.model.fetch_plan import FetchPlan
    from ocrd.model.progress import TransferProgress
    from ocrd.model.report import Report
    from ocrd.model.storage import ModelStorage

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}
# How a file of a plan gets into the model.
_ORIGINS = {"staged": "downloaded before", "link": "linked", "copy": "copied", "fetch": "download"}


class PhaseProgress:
    """One progress bar on standard error for each phase: hashing, copying, downloading."""

    def __init__(self, *, quiet: bool) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
            disable=quiet,
        )
        self._task: TaskID | None = None
        self._phase = ""

    def __enter__(self) -> PhaseProgress:
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
        """Update the bar, or replace it when a new phase began."""
        if not progress.total_bytes:
            return
        if self._task is None or progress.phase != self._phase:
            if self._task is not None:
                self._bars.remove_task(self._task)
            self._task = self._bars.add_task(progress.phase, total=progress.total_bytes)
            self._phase = progress.phase
        self._bars.update(self._task, completed=progress.done_bytes, total=progress.total_bytes)


class RetryMessages:
    """Prints on standard error why healing waits, once for each reason in a row."""

    def __init__(self) -> None:
        self._last_error = ""

    def print(self, error: ModelUnavailable, delay_s: float) -> None:
        """Print the error if it is a new one, and when the next try is."""
        if str(error) != self._last_error:
            self._last_error = str(error)
            print(f"ocrd: {error}", file=sys.stderr)
        if not error.locked:
            print(f"ocrd: next try in {delay_s:.0f} s; stop with Ctrl-C", file=sys.stderr)


def print_report(report: Report, *, as_json: bool) -> None:
    """Print every check of the model."""
    if as_json:
        document = {
            "folder": str(report.folder),
            "full": report.full,
            "ok": report.ok,
            "checks": [vars(check) for check in report.checks],
        }
        print(json.dumps(document, indent=2))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=f"{report.folder}, {'full' if report.full else 'quick'}")
    for column in ("check", "", "found", "expected"):
        table.add_column(column, overflow="fold")
    for check in report.checks:
        # Text, because file names and errors may contain what rich takes for markup.
        state = Text(check.state, _COLOURS[check.state])
        table.add_row(Text(check.name), state, Text(check.found), Text(check.expected))
    Console().print(table)


def print_healed(report: Report, *, as_json: bool) -> None:
    """Print one line about the healed model."""
    from ocrd.model.manifest import read_manifest
    from ocrd.units import format_size

    if as_json:
        print_report(report, as_json=as_json)
        return
    manifest = read_manifest(report.folder)
    if manifest:
        contents = f"{len(manifest.files)} files, {format_size(manifest.total_bytes)}"
        print(
            f"{report.folder}: the model is complete, every byte was hashed "
            f"({manifest.repo} at {manifest.revision}, {contents})"
        )


def print_plan(plan: FetchPlan | None, storage: ModelStorage, *, as_json: bool) -> None:
    """Print what healing would do.

    Args:
        plan: None when there is nothing to do.
        storage: Where the model is.
        as_json: Print JSON instead of lines.
    """
    if as_json:
        print(json.dumps(_plan_as_json(plan, storage), indent=2))
    elif plan is None:
        print(f"{storage.installed.path}: the model is complete; nothing to do")
    else:
        _print_plan_lines(plan, storage)


def _plan_as_json(plan: FetchPlan | None, storage: ModelStorage) -> dict[str, Any]:
    removals = []
    files = []
    if plan:
        for place in plan.removals:
            if place.exists():
                removals.append({"path": str(place.path), "bytes": place.removable_bytes()})
        for name, entry in sorted(plan.manifest.files.items()):
            source = plan.best_source(name)
            files.append(
                {
                    "name": name,
                    "bytes": entry.size,
                    "how": plan.method(name),
                    "from": str(source.path) if source else None,
                }
            )
    return {
        "whole": plan is None,
        "folder": str(storage.installed.path),
        "revision": plan.manifest.revision if plan else None,
        "remove": removals,
        "files": files,
    }


def _print_plan_lines(plan: FetchPlan, storage: ModelStorage) -> None:
    from ocrd.units import format_size

    for place in plan.removals:
        if place.exists():
            print(f"would remove {place.path} ({format_size(place.removable_bytes())})")
    for name, entry in sorted(plan.manifest.files.items()):
        source = plan.best_source(name)
        origin = source.path if source else f"{plan.manifest.repo} at {plan.manifest.revision}"
        how = _ORIGINS[plan.method(name)]
        print(f"{how:>17}  {format_size(entry.size):>9}  {name} from {origin}")
    size = format_size(plan.bytes_by("fetch"))
    print(f"would download {size} and put the model into {storage.installed.path}")
