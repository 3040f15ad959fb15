"""``ocrd run``: the daemon in the foreground; what launchd and systemd start."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocrd.cli.app import ConfigOption

if TYPE_CHECKING:
    from ocrd.daemon.loop import Daemon


def run(
    config: ConfigOption = None,
    *,
    once: Annotated[
        bool, typer.Option("--once", help="Read what lies in the inboxes now, then end.")
    ] = False,
) -> None:
    """Watch the inboxes and read what settles there, until told to stop."""
    import structlog

    from ocrd import log, paths
    from ocrd.control.exit_record import record_exit, service_exit_code
    from ocrd.errors import OcrdError
    from ocrd.system_commands import service_manager

    log.truncate_stderr(max_bytes=0)
    state = paths.state_dir()
    try:
        _run(config, state, once=once)
    except Exception as error:
        manager = service_manager()
        if manager is None:
            raise
        record_exit(state, error)
        if structlog.is_configured() and not isinstance(error, OcrdError):
            # A service's standard error is emptied at its next start, which may be in half a
            # minute.
            structlog.get_logger(component="daemon").exception("the daemon failed")
        if (
            manager == "launchd"
            and isinstance(error, OcrdError)
            and service_exit_code(error.exit_code) == 0
        ):
            print(f"ocrd: {error}", file=sys.stderr)  # to launchd.log, for who looks there
            return
        raise


def _stop_at_signals(daemon: Daemon) -> None:
    """A handler runs in the middle of whatever the main thread does, which may hold the lock of
    an event.

    So it only puts something into a queue, which may be done anywhere; a thread that waits there
    does the rest.
    """
    import queue
    import signal
    import threading

    told: queue.SimpleQueue[int] = queue.SimpleQueue()

    def wait() -> None:
        told.get()
        daemon.stop()

    threading.Thread(target=wait, name="signals", daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: told.put(number))


def _run(config: Path | None, state: Path, *, once: bool) -> None:
    import time

    from ocrd import log, paths
    from ocrd.config import log_warnings, read_config
    from ocrd.control.exit_record import clear_last_exit
    from ocrd.control.lock import single_instance
    from ocrd.daemon.loop import JOURNAL_PATIENCE, Daemon
    from ocrd.errors import SomeFilesFailed
    from ocrd.journal import Journal
    from ocrd.system_commands import service_manager

    loaded = read_config(config)
    settings = loaded.config
    with single_instance(state):
        log.configure(settings.log, paths.log_dir(), quiet=service_manager() is not None)
        log_warnings(loaded)
        journal = Journal(state, patience=JOURNAL_PATIENCE)
        started = time.time()
        try:
            clear_last_exit(
                state
            )  # not before: between two starts that fail `ocrd status` must not lose the reason
            daemon = Daemon(settings, journal, once=once)
            _stop_at_signals(daemon)
            daemon.run()
            failed = journal.failed_since(started)
            queued = journal.counts()["queued"]
        finally:
            journal.close()
    if once and (failed or queued):
        waiting = f", {queued} wait for another try" if queued else ""
        raise SomeFilesFailed(f"{failed} file(s) could not be read{waiting}; see: ocrd status")
