"""The commands, one file per group. A command imports what it needs when it runs.

`ocrd --help` must be quick, so this package imports only typer and light modules at the top.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ocrd.cli.app import app
from ocrd.errors import ExitCode, OcrdError

if TYPE_CHECKING:
    from collections.abc import Callable


def run_cli() -> int:
    """Run the command in ``sys.argv``.

    Every error that ocrd raises on purpose is printed to standard error as one sentence.

    Returns:
        The exit code, an `ExitCode`.
    """
    _register_commands()
    try:
        app()
    except OcrdError as error:
        print(f"ocrd: {error}", file=sys.stderr)
        return error.exit_code
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else ExitCode.UNEXPECTED
    return ExitCode.DONE


def _register_commands() -> None:
    """Add all commands to `app`, in the order in which ``ocrd --help`` lists them."""
    from ocrd.cli import (
        config,
        daemon,
        demo,
        doctor,
        init,
        jobs,
        logs,
        model,
        recognize,
        service,
        status,
        submit,
    )

    commands: list[Callable[..., None]] = [
        init.init,
        service.install,
        service.uninstall,
        service.start,
        service.stop,
        service.restart,
        status.status,
        logs.logs,
        submit.submit,
        jobs.jobs,
        jobs.retry,
        jobs.pause,
        jobs.resume,
        daemon.run,
        recognize.recognize,
        doctor.doctor,
        service.hazel,
        demo.demo,
    ]
    for command in commands:
        app.command()(command)
    app.add_typer(model.app, name="model")
    app.add_typer(config.app, name="config")
