"""``ocrd model verify`` and ``ocrd model heal``: check the model's files and repair them."""

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
    from ocrd.model.heal import Healer
    from ocrd.model.report import Report

app = typer.Typer(
    help="Check, repair or download the model's files.", no_args_is_help=True, rich_markup_mode=None
)

SourceOption = Annotated[
    Path | None,
    typer.Option(
        "--from",
        metavar="FOLDER",
        help="Repair the model from this folder or hub cache, without a network.",
    ),
]
# `heal` gives up after this many tries in a row without a new byte. The daemon never gives up.
MAX_TRIES = 4


@app.command()
def verify(
    config: ConfigOption = None,
    *,
    full: Annotated[
        bool, typer.Option("--full", help="Hash every byte, even of unchanged files.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check the model's files.

    Shows what each check found and expected. Exits with 5 when the model is missing or broken.
    """
    from ocrd.cli.model_view import print_report
    from ocrd.config import load_config
    from ocrd.errors import ModelError
    from ocrd.service.detect import default_config

    model = load_config(default_config(config)).model
    report = _verify(model, full=full, quiet=as_json)
    print_report(report, as_json=as_json)
    if not report.ok:
        advice = _repair_advice(model)
        if not report.folder.is_dir():
            raise ModelError(f"{report.folder}: there is no model; {advice}")
        names = ", ".join(check.name for check in report.failures)
        raise ModelError(f"{report.folder}: the model is broken ({names}); {advice}")


@app.command()
def heal(
    config: ConfigOption = None,
    *,
    reset: Annotated[
        bool,
        typer.Option(
            "--reset",
            help="Download everything again and remove all other copies, also the hub cache's.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print what would be removed and downloaded.")
    ] = False,
    source: SourceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Repair the model, or download it.

    Downloads missing and broken files and hashes every byte before it replaces the model.
    """
    from ocrd import log, paths
    from ocrd.cli.model_view import PhaseProgress, print_healed, print_plan
    from ocrd.config import load_config
    from ocrd.model.factory import make_healer
    from ocrd.model.hashes import HashCache
    from ocrd.model.progress import ProgressMeter
    from ocrd.service.detect import default_config

    settings = load_config(default_config(config))
    copy = None if source is None else _existing(source)
    # SIGTERM ends it like Ctrl-C, so that the terminal gets its cursor back.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    log.configure(settings.log.model_copy(update={"level": "warning"}), None)
    with PhaseProgress(quiet=as_json) as bars:
        cache = HashCache(paths.hash_cache_file())
        healer = make_healer(
            settings.model, cache, meter=ProgressMeter(bars.show), reset=reset, source=copy
        )
        if dry_run:
            plan = healer.preview()
        else:
            report = _heal(healer)
    if dry_run:
        print_plan(plan, healer.request.storage, as_json=as_json)
    else:
        print_healed(report, as_json=as_json)


def _heal(healer: Healer) -> Report:
    from ocrd.cli.model_view import RetryMessages
    from ocrd.model.retry import heal_with_retries

    try:
        return heal_with_retries(healer, MAX_TRIES, on_wait=RetryMessages().print)
    except KeyboardInterrupt:
        print(
            "ocrd: stopped; the model is unchanged, "
            "and what was downloaded is kept for the next time",
            file=sys.stderr,
        )
        raise


def _existing(path: Path) -> Path:
    from ocrd.errors import UsageError

    try:
        absolute = path.expanduser().absolute()
        absolute.stat()
    except (RuntimeError, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"--from {path}: cannot be read ({reason})") from error
    return absolute


def _verify(model: ModelConfig, *, full: bool, quiet: bool) -> Report:
    """Verify the model and what it needs from this machine, with progress on standard error."""
    from dataclasses import replace

    from ocrd import paths
    from ocrd.cli.model_view import PhaseProgress
    from ocrd.config import model_dir
    from ocrd.model.environment import environment_checks
    from ocrd.model.expected import expected_model
    from ocrd.model.hashes import HashCache
    from ocrd.model.progress import ProgressMeter
    from ocrd.model.verify import bytes_to_hash, verify

    folder = model_dir(model)
    cache = HashCache(paths.hash_cache_file())
    with PhaseProgress(quiet=quiet) as bars:
        meter = ProgressMeter(bars.show)
        meter.start_phase("checking", bytes_to_hash(folder, cache, full=full))
        report = verify(
            folder, cache, expected=expected_model(model), full=full, on_bytes=meter.advance
        )
    # Without it the next run hashes again; that is not an error of the model.
    with contextlib.suppress(OSError):
        cache.save()
    return replace(report, checks=(*report.checks, *environment_checks(full=full)))


def _repair_advice(model: ModelConfig) -> str:
    from ocrd.config import POCKET, is_managed

    if is_managed(model):
        return "run: ocrd model heal"
    if model.path == POCKET:
        return "reinstall ocrd"
    return "fix the folder yourself, or remove model.path; ocrd does not change your own folders"
