"""``ocrd run``: the daemon in the foreground; what launchd and systemd start."""

from __future__ import annotations

from typing import Annotated

import typer

from ocrd.cli.app import ConfigOption


def run(
    config: ConfigOption = None,
    once: Annotated[bool, typer.Option("--once", help="Read what lies in the inboxes now, then end.")] = False,
) -> None:
    """Watch the inboxes and read what settles there, until told to stop."""
    import signal
    import time

    from ocrd import log, paths
    from ocrd.config import load_config
    from ocrd.daemon.lock import sole_daemon
    from ocrd.daemon.loop import Daemon
    from ocrd.errors import SomeFilesFailed
    from ocrd.journal import Journal

    settings = load_config(config)
    state = paths.state_dir()
    with sole_daemon(state):
        log.configure(settings.log, paths.log_dir())
        journal = Journal(state)
        started = time.time()
        try:
            daemon = Daemon(settings, journal, once)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, lambda *_: daemon.stop())
            daemon.run()
            failed, queued = journal.failed_since(started), journal.counts()["queued"]
        finally:
            journal.close()
    if once and (failed or queued):
        waiting = f", {queued} wait for another try" if queued else ""
        raise SomeFilesFailed(f"{failed} file(s) could not be read{waiting}; see: ocrd status")
