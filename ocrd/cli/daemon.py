"""``ocrd run``: the daemon in the foreground. launchd and systemd start it too."""

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
        bool, typer.Option("--once", help="Read what is in the inboxes now, then exit.")
    ] = False,
) -> None:
    """Run the daemon in the foreground.

    Watch the inboxes and read every complete file, until Ctrl-C. launchd and systemd use this
    command too; install the service with: ocrd install
    """
    import structlog

    from ocrd import log, paths
    from ocrd.control.exit_record import record_exit, service_exit_code
    from ocrd.errors import ExitCode, OcrdError
    from ocrd.system_commands import service_manager

    log.truncate_stderr(max_bytes=0)
    state_dir = paths.state_dir()
    try:
        _run(config, state_dir, once=once)
    except Exception as error:
        manager = service_manager()
        if manager is None:
            raise
        record_exit(state_dir, error)
        if not isinstance(error, OcrdError):
            if structlog.is_configured():
                # A service's standard error is emptied at its next start, perhaps in 30 seconds.
                structlog.get_logger(component="daemon").exception("the daemon failed")
            raise
        if manager == "launchd" and service_exit_code(error.exit_code) == ExitCode.DONE:
            print(f"ocrd: {error}", file=sys.stderr)  # goes to launchd.log
            return
        raise


def _run(config: Path | None, state_dir: Path, *, once: bool) -> None:
    import time

    from ocrd import log, paths
    from ocrd.config import log_warnings, read_config
    from ocrd.control.exit_record import clear_last_exit
    from ocrd.control.lock import single_instance
    from ocrd.daemon.loop import JOURNAL_BUSY_TIMEOUT_S, Daemon
    from ocrd.errors import SomeFilesFailed
    from ocrd.journal import Journal
    from ocrd.system_commands import service_manager

    loaded = read_config(config)
    settings = loaded.config
    with single_instance(state_dir):
        log.configure(settings.log, paths.log_dir(), quiet=service_manager() is not None)
        log_warnings(loaded)
        journal = Journal(
            state_dir,
            busy_timeout_s=JOURNAL_BUSY_TIMEOUT_S,
            in_use=lambda: False,  # only by this daemon, which holds the lock
        )
        started = time.time()
        try:
            # Not earlier: between two failed starts, `ocrd status` must still show the reason.
            clear_last_exit(state_dir)
            daemon = Daemon(settings, journal, once=once)
            _stop_on_signals(daemon)
            daemon.run()
            failed = journal.history.failed_since(started)
            queued = journal.history.counts()["queued"]
        finally:
            journal.close()
    if once and (failed or queued):
        waiting = f", {queued} will be retried" if queued else ""
        raise SomeFilesFailed(f"{failed} file(s) could not be read{waiting}; see: ocrd status")


def _stop_on_signals(daemon: Daemon) -> None:
    """Stop the daemon on SIGTERM, SIGINT and SIGHUP.

    A signal handler interrupts the main thread anywhere, perhaps while it holds a lock that
    `Daemon.stop` needs. So the handler only puts the signal into a queue, which is always safe,
    and a thread calls `stop`.
    """
    import queue
    import signal
    import threading

    signals: queue.SimpleQueue[int] = queue.SimpleQueue()

    def wait_for_signal() -> None:
        signals.get()
        daemon.stop()

    threading.Thread(target=wait_for_signal, name="signals", daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: signals.put(number))
