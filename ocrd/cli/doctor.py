"""``ocrd doctor``: is everything in order, and what to do where it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocrd.cli.app import ConfigOption, JsonOption

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ocrd.config import Config
    from ocrd.doctor.checks import Finding
    from ocrd.errors import OcrdError


def doctor(
    config: ConfigOption = None,
    *,
    bench: Annotated[
        bool,
        typer.Option(
            "--bench", help="Read one picture here and one through the daemon, and compare."
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Examine versions, devices, folders, model, disks and service; say of each what to do."""
    import json

    from ocrd import log
    from ocrd.config import load_config
    from ocrd.doctor.checks import examine
    from ocrd.service.detect import default_config

    settings = load_config(default_config(config))
    log.configure(settings.log.model_copy(update={"level": "warning"}), None)
    findings = list(examine(settings))
    if not as_json:
        _show(findings)
    compared, refused = _compare(settings, findings) if bench else (None, None)
    if as_json:
        said: dict[str, Any] = {"findings": [vars(finding) for finding in findings]}
        print(
            json.dumps(
                said | {"bench": compared, "bench_refused": refused and str(refused)}, indent=2
            )
        )
    for line in _words(compared) if compared and not as_json else ():
        print(line)
    if failed := [finding for finding in findings if finding.state == "fail"]:
        raise typer.Exit(failed[0].exit_code)
    if refused:
        raise refused


def _show(findings: Iterable[Finding]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    colours = {"ok": "green", "warn": "yellow", "fail": "red"}
    table = Table(show_header=False, box=None)
    for finding in findings:
        # As plain text: a path may hold what rich takes for markup.
        table.add_row(
            Text(finding.name), Text(finding.state, colours[finding.state]), Text(finding.found)
        )
        if finding.advice and finding.state != "ok":
            table.add_row("", "", Text(f"-> {finding.advice}", "bold"))
    Console().print(table)


def _compare(
    settings: Config, findings: list[Finding]
) -> tuple[dict[str, float] | None, OcrdError | None]:
    """Seconds for one picture.

    Its page here, its page in the daemon, and from dropping it to its sidecar.

    Or why that cannot be.
    """
    from ocrd.doctor.benchmark import in_the_foreground, through_the_daemon
    from ocrd.errors import ModelError, OcrdError, ServiceError

    try:
        if any(finding.name == "model" and finding.state != "ok" for finding in findings):
            raise ModelError("there is no whole model to compare with; run: ocrd model heal")
        # The daemon first: without one nothing has to be loaded here.
        daemon = through_the_daemon(settings)
        return {"foreground": in_the_foreground(settings), **daemon}, None
    except OcrdError as error:
        return None, error
    except OSError as error:
        return None, ServiceError(f"the comparison cannot be made ({error})")


def _words(compared: dict[str, float]) -> list[str]:
    share = compared["daemon"] / compared["foreground"] if compared["foreground"] else float("inf")
    return [
        f"one picture in the foreground: {compared['foreground']:.2f} s",
        f"through the daemon: {compared['daemon']:.2f} s ({share:.1f} x); from dropping it to its sidecar "
        f"{compared['whole']:.2f} s",
    ]
