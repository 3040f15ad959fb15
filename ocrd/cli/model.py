"""``ocrd model verify`` and ``ocrd model heal``: is the model whole, and how it becomes so."""

from __future__ import annotations

import contextlib
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocrd.cli.app import ConfigOption, JsonOption

if TYPE_CHECKING:
    from ocrd.config import ModelConfig
    from ocrd.model.report import Report

app = typer.Typer(help="The model's files.", no_args_is_help=True, rich_markup_mode=None)

# Tries in a row without a new byte before `heal` gives up; the daemon never does.
TRIES = 4


@app.command()
def verify(
    config: ConfigOption = None,
    *,
    full: Annotated[bool, typer.Option("--full", help="Hash every byte again.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Examine the model's files and say of each check what was found and what was expected."""
    from ocrd.cli.model_view import print_report
    from ocrd.config import load_config
    from ocrd.errors import ModelError
    from ocrd.service.detect import default_config

    model = load_config(default_config(config)).model
    report = _verified(model, full=full, quiet=as_json)
    print_report(report, as_json=as_json)
    if not report.ok:
        if not report.folder.is_dir():
            raise ModelError(f"{report.folder}: there is no model{_way_out(model)}")
        names = ", ".join(check.name for check in report.failures)
        raise ModelError(f"{report.folder}: the model is broken ({names}){_way_out(model)}")


@app.command()
def heal(
    config: ConfigOption = None,
    *,
    reset: Annotated[
        bool,
        typer.Option(
            "--reset", help="Fetch all anew and remove every other copy, the hub's cache of it too."
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be removed and fetched.")
    ] = False,
    source: Annotated[
        Path | None,
        typer.Option("--from", help="Heal from this folder or hub cache, without a network."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make the model whole.

    Fetch what is missing or broken, hash every byte, and put it in its place.
    """
    from ocrd import log, paths
    from ocrd.cli.model_view import PhaseBars, Waiting, print_plan, print_whole
    from ocrd.config import load_config
    from ocrd.model.factory import make_healer
    from ocrd.model.hashes import HashCache
    from ocrd.model.progress import ProgressMeter
    from ocrd.model.retry import heal_with_retries
    from ocrd.service.detect import default_config

    settings = load_config(default_config(config))
    copy = None if source is None else _given(source)
    # Ended by a signal like by Ctrl-C, so that the terminal gets its cursor back.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    log.configure(settings.log.model_copy(update={"level": "warning"}), None)
    with PhaseBars(quiet=as_json) as bars:
        cache = HashCache(paths.hash_cache_file())
        healer = make_healer(
            settings.model, cache, meter=ProgressMeter(bars.show), reset=reset, source=copy
        )
        if dry_run:
            plan = healer.preview()
        else:
            try:
                report = heal_with_retries(healer, TRIES, on_wait=Waiting().say)
            except KeyboardInterrupt:
                print(
                    "ocrd: stopped; the model is as it was, and what was fetched is kept for the next time",
                    file=sys.stderr,
                )
                raise
    if dry_run:
        print_plan(plan, healer.request.storage, as_json=as_json)
    else:
        print_whole(report, as_json=as_json)


def _given(path: Path) -> Path:
    from ocrd.errors import UsageError

    try:
        found = path.expanduser().absolute()
        found.stat()
    except (RuntimeError, OSError) as error:
        raise UsageError(
            f"--from {path}: cannot be read ({getattr(error, 'strerror', None) or error})"
        ) from error
    return found


def _verified(model: ModelConfig, *, full: bool, quiet: bool) -> Report:
    from dataclasses import replace

    from ocrd import paths
    from ocrd.cli.model_view import PhaseBars
    from ocrd.config import model_dir
    from ocrd.model.environment import environment_checks
    from ocrd.model.expected import expected_model
    from ocrd.model.hashes import HashCache
    from ocrd.model.progress import ProgressMeter
    from ocrd.model.verify import bytes_to_hash, verify

    folder = model_dir(model)
    cache = HashCache(paths.hash_cache_file())
    with PhaseBars(quiet=quiet) as bars:
        meter = ProgressMeter(bars.show)
        meter.start_phase("checking", bytes_to_hash(folder, cache, full=full))
        report = verify(
            folder, cache, expected=expected_model(model), full=full, on_bytes=meter.advance
        )
    with contextlib.suppress(
        OSError
    ):  # not to remember costs one hashing next time, and is no fault of the model
        cache.save()
    return replace(report, checks=(*report.checks, *environment_checks(full=full)))


def _way_out(model: ModelConfig) -> str:
    from ocrd.config import POCKET, is_managed

    if is_managed(model):
        return "; run: ocrd model heal"
    return (
        "; install ocrd anew"
        if model.path == POCKET
        else "; ocrd changes nothing in a folder of yours"
    )
