"""``ocrd doctor``: checks, and advice for each problem."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ocrd.cli.app import ConfigOption, JsonOption

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ocrd.config import Config
    from ocrd.doctor.finding import Finding
    from ocrd.errors import OcrdError


def doctor(
    config: ConfigOption = None,
    *,
    bench: Annotated[
        bool,
        typer.Option(
            "--bench", help="Also read a picture twice, here and in the daemon, and compare."
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check this machine and say how to fix problems.

    Checks versions, devices, folders, the model, disks, the service and the daemon. Exits with the
    code of the first check that failed.
    """
    import json

    from ocrd import log
    from ocrd.config import load_config
    from ocrd.doctor.checks import run_checks
    from ocrd.service.detect import default_config

    settings = load_config(default_config(config))
    log.configure(settings.log.model_copy(update={"level": "warning"}), None)
    findings = list(run_checks(settings))
    if not as_json:
        _print_findings(findings)
    times, error = _compare(settings, findings) if bench else (None, None)
    if as_json:
        document = {
            "findings": [vars(finding) for finding in findings],
            "bench": times,
            "bench_refused": error and str(error),
        }
        print(json.dumps(document, indent=2))
    elif times:
        _print_times(times)
    for finding in findings:
        if finding.state == "fail":
            raise typer.Exit(finding.exit_code)
    if error:
        raise error


def _print_findings(findings: Iterable[Finding]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    colours = {"ok": "green", "warn": "yellow", "fail": "red"}
    table = Table(show_header=False, box=None)
    table.add_column()
    table.add_column()
    table.add_column(overflow="fold")
    for finding in findings:
        # Text, because a path may contain what rich takes for markup.
        state = Text(finding.state, colours[finding.state])
        table.add_row(Text(finding.name), state, Text(finding.found))
        if finding.advice and finding.state != "ok":
            table.add_row("", "", Text(f"-> {finding.advice}", "bold"))
    Console().print(table)


def _compare(
    settings: Config, findings: Iterable[Finding]
) -> tuple[dict[str, float] | None, OcrdError | None]:
    """Time one picture here and in the daemon.

    Returns:
        The times in seconds (``foreground``, ``daemon``, ``whole``), or the error that prevents
        the comparison.
    """
    from ocrd.doctor.benchmark import time_in_foreground, time_through_daemon
    from ocrd.errors import ModelError, OcrdError, ServiceError

    try:
        if any(finding.name == "model" and finding.state != "ok" for finding in findings):
            raise ModelError("the comparison needs a complete model; run: ocrd model heal")
        # The daemon first: without one, this process need not load the model.
        times = time_through_daemon(settings)
        return {"foreground": time_in_foreground(settings), **times}, None
    except OcrdError as error:
        return None, error
    except OSError as error:
        return None, ServiceError(f"the comparison failed ({error})")


def _print_times(times: dict[str, float]) -> None:
    ratio = times["daemon"] / times["foreground"] if times["foreground"] else float("inf")
    print(f"one picture in this process: {times['foreground']:.2f} s")
    print(
        f"in the daemon: {times['daemon']:.2f} s ({ratio:.1f} x); "
        f"from dropping the picture to its sidecar: {times['whole']:.2f} s"
    )
