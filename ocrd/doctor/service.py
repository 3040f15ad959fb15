"""Checks of the service and of the running daemon."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from ocrd import paths
from ocrd.control.lock import is_running
from ocrd.doctor.finding import Finding
from ocrd.errors import ExitCode
from ocrd.formatting import format_engine_state, format_kernels
from ocrd.journal import FILE as JOURNAL
from ocrd.journal import Journal
from ocrd.service.detect import detect_service_manager
from ocrd.service.templates import parse_service_file


def read_daemon_status() -> dict[str, Any]:
    """Read what the running daemon published: ``daemon``, ``engine``, ``folders`` and ``jobs``.

    The journal is opened even if no daemon runs, so that a broken journal is found.

    Returns:
        An empty dictionary when no daemon runs.
    """
    state_dir = paths.state_dir()
    if not (state_dir / JOURNAL).exists():
        return {}
    journal = Journal(state_dir)
    try:
        if not is_running(state_dir):
            return {}
        status = {name: journal.fact(name) for name in ("daemon", "engine", "folders")}
        return status | {"jobs": journal.counts()}
    finally:
        journal.close()


def check_service() -> Finding:
    """Check that the installed service is loaded and that its program exists."""
    manager = detect_service_manager()
    if not manager.file.exists():
        return Finding("service", "ok", "not installed")
    program = parse_service_file(manager.file).program
    state = manager.state()
    if state.error:
        advice = f"fix that, or check {manager.name} itself"
        return Finding("service", "warn", state.error, advice, ExitCode.SERVICE)
    if not os.access(program, os.X_OK):
        found = f"its program {program} does not exist"
        return Finding("service", "fail", found, "run: ocrd install", ExitCode.SERVICE)
    if not state.loaded:
        found = f"installed ({manager.name}), but stopped"
        return Finding("service", "warn", found, "run: ocrd start", ExitCode.SERVICE)
    return Finding("service", "ok", f"installed ({manager.name}); it starts {program}")


def check_daemon(status: Mapping[str, Any]) -> Iterator[Finding]:
    """Report what the running daemon published.

    Args:
        status: See `read_daemon_status`.
    """
    if not status:
        advice = "run: ocrd start, or ocrd run; the first time: ocrd install"
        yield Finding("daemon", "warn", "not running", advice)
        return
    pid = (status["daemon"] or {}).get("pid")
    jobs = ", ".join(f"{count} {state}" for state, count in status["jobs"].items())
    yield Finding("daemon", "ok", f"running (pid {pid}); {jobs}")
    engine = status["engine"]
    if engine and engine["state"] == "waiting":
        advice = "the daemon retries; ocrd model heal shows more"
        yield Finding("engine", "warn", format_engine_state(engine), advice)
    else:
        yield Finding("engine", "ok", format_engine_state(engine))
    if engine and engine.get("tuned"):
        yield Finding("kernels", "ok", format_kernels(engine))
    for reason in (engine or {}).get("skipped", ()):
        advice = "the stack trace is in the log: ocrd logs"
        yield Finding("skipped device", "warn", reason, advice)
