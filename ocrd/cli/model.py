"""``ocrd model verify``: is the model whole, and the right one?"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Annotated

import typer

from ocrd.cli.app import ConfigOption, JsonOption

if TYPE_CHECKING:
    from ocrd.config import ModelConfig
    from ocrd.model.verify import Report

app = typer.Typer(help="The model's files.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _group() -> None:
    pass  # keeps `verify` a word of its own, though it is the only command


@app.command()
def verify(
    config: ConfigOption = None,
    full: Annotated[bool, typer.Option("--full", help="Hash every byte again.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Examine the model's files and say of each check what was found and what was expected."""
    import json

    from ocrd.config import load_config
    from ocrd.errors import ModelError

    report = _verified(load_config(config).model, full, quiet=as_json)
    if as_json:
        checks = [vars(check) for check in report.checks]
        print(json.dumps({"folder": str(report.folder), "full": full, "ok": report.ok, "checks": checks}, indent=2))
    else:
        _show(report)
    if not report.ok:
        names = ", ".join(check.name for check in report.failures)
        raise ModelError(f"{report.folder}: the model is broken ({names})")


def _verified(model: ModelConfig, full: bool, quiet: bool) -> Report:
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    from ocrd import paths
    from ocrd.config import model_dir
    from ocrd.model.hashes import HashMemory
    from ocrd.model.verify import bytes_to_hash, verify, wanted_by

    folder = model_dir(model)
    memory = HashMemory(paths.state_dir() / "hashes.json")
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, transient=True, disable=quiet) as progress:
        task = progress.add_task("hashing", total=bytes_to_hash(folder, memory, full))
        report = verify(folder, memory, wanted_by(model), full, lambda count: progress.advance(task, count))
    with contextlib.suppress(OSError):  # not to remember costs one hashing next time, and is no fault of the model
        memory.save()
    return report


def _show(report: Report) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    colours = {"ok": "green", "warn": "yellow", "fail": "red"}
    table = Table("check", "", "found", "expected", title=f"{report.folder}, {'full' if report.full else 'quick'}")
    for check in report.checks:
        # As plain text: a file's name or an error may hold what rich takes for markup.
        table.add_row(
            Text(check.name), Text(check.state, colours[check.state]), Text(check.found), Text(check.expected)
        )
    Console().print(table)
