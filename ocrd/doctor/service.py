"""Checks of the service and of the running daemon."""

from __future__ import annotations

import os
from collections.abc import Iterator

from ocrd.control.status import StatusSnapshot
from ocrd.doctor.finding import Finding
from ocrd.errors import ExitCode
from ocrd.formatting import format_engine_state, format_kernels
from ocrd.service.detect import detect_service_manager
from ocrd.service.templates import parse_service_file
from ocrd.status import EngineReady, WaitingForModel


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


def check_daemon(status: StatusSnapshot | None) -> Iterator[Finding]:
    """Report what the running daemon published.

    Args:
        status: None when it cannot be read.
    """
    if status is None or not status.running:
        advice = "run: ocrd start, or ocrd run; the first time: ocrd install"
        yield Finding("daemon", "warn", "not running", advice)
        return
    pid = status.daemon.pid if status.daemon else None
    jobs = ", ".join(f"{count} {state}" for state, count in status.counts.items())
    yield Finding("daemon", "ok", f"running (pid {pid}); {jobs}")
    engine = status.engine
    if isinstance(engine, WaitingForModel):
        advice = "the daemon retries; ocrd model heal shows more"
        yield Finding("engine", "warn", format_engine_state(engine), advice)
    else:
        yield Finding("engine", "ok", format_engine_state(engine))
    if not isinstance(engine, EngineReady):
        return
    if engine.backend.tuned:
        yield Finding("kernels", "ok", format_kernels(engine.backend))
    for reason in engine.backend.skipped:
        advice = "the stack trace is in the log: ocrd logs"
        yield Finding("skipped device", "warn", reason, advice)
