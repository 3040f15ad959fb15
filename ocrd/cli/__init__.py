"""The commands, one file for each group; heavy imports wait until a command needs them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, cast

from ocrd.cli.app import app
from ocrd.errors import OcrdError, ServiceError

if TYPE_CHECKING:
    import sqlite3


def run_cli() -> int:
    """Run one command: its exit code.

    Whatever went wrong on purpose is one sentence on standard error.
    """
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

    for command in (
        *(
            init.init,
            service.install,
            service.uninstall,
            service.start,
            service.stop,
            service.restart,
        ),
        *(
            status.status,
            logs.logs,
            submit.submit,
            jobs.jobs,
            jobs.retry,
            jobs.pause,
            jobs.resume,
            daemon.run,
        ),
        *(recognize.recognize, doctor.doctor, service.hazel, demo.demo),
    ):
        app.command()(command)
    app.add_typer(model.app, name="model")
    app.add_typer(config.app, name="config")
    try:
        app()
    except OcrdError as error:
        print(f"ocrd: {error}", file=sys.stderr)
        return error.exit_code
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except Exception as error:
        if type(error).__module__ != "sqlite3":  # which is not imported for its name alone
            raise
        from ocrd import paths
        from ocrd.journal import unusable

        print(f"ocrd: {unusable(paths.state_dir(), cast('sqlite3.Error', error))}", file=sys.stderr)
        return ServiceError.exit_code
    return 0
