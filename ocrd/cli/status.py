"""``ocrd status``: the service, the daemon, the model, the engine and the queue."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocrd.cli.app import ConfigOption, JsonOption

if TYPE_CHECKING:
    from ocrd.control.status import StatusSnapshot
    from ocrd.journal import Job
    from ocrd.status import EngineStatus


def status(config: ConfigOption = None, *, as_json: JsonOption = False) -> None:
    """Show the service, the daemon, the model and the queue."""
    import json

    from ocrd import paths
    from ocrd.control.status import read_status

    snapshot = read_status(paths.state_dir())
    found = _daemon_fields(snapshot) | _service_status(config)
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        _print(found, snapshot.engine)


def _print(found: dict[str, Any], engine: EngineStatus | None) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from ocrd.formatting import format_engine_state, format_time, printable

    # Text, because names and messages may contain what rich takes for markup.
    table = Table(show_header=False, box=None)
    table.add_column()
    table.add_column(overflow="fold")
    table.add_row("service", Text(_format_service(found["service"])))
    table.add_row("daemon", Text(_format_daemon(found)))
    table.add_row("model", Text(found["model"]["error"] or _format_model(found["model"])))
    table.add_row("engine", Text(format_engine_state(engine)))
    if found["paused"]:
        table.add_row("paused", Text(found["paused"], "yellow"))
    for reason in (found["engine"] or {}).get("skipped", ()):
        table.add_row("skipped", Text(reason, "yellow"))
    table.add_row("jobs", ", ".join(f"{count} {state}" for state, count in found["jobs"].items()))
    for key, label, colour in (("waiting", "waiting", "yellow"), ("failures", "failed", "red")):
        for job in found[key]:
            table.add_row(label, Text(printable(f"{job['file']}: {job['message']}"), colour))
    if last := found["last_error"]:
        message = f"{last['message']} ({format_time(last['at'])})"
        table.add_row("last error", Text(printable(message), "red"))
    Console().print(table)


def _daemon_fields(snapshot: StatusSnapshot) -> dict[str, Any]:
    """The daemon's part of the status, as it is printed with ``--json``."""
    from dataclasses import asdict

    from ocrd.daemon.pause import PAUSED_BY_USER

    daemon = snapshot.daemon
    paused = snapshot.pause_reason
    if not snapshot.running and snapshot.pause_requested:
        paused = PAUSED_BY_USER
    last_error = asdict(snapshot.last_exit) if snapshot.last_exit else None
    failures = [_job_entry(job) for job in snapshot.failures]
    if failures and (last_error is None or failures[0]["at"] > last_error["at"]):
        last_error = {"at": failures[0]["at"], "message": failures[0]["message"]}
    return {
        "running": snapshot.running,
        "pid": daemon.pid if daemon else None,
        "since": daemon.since if daemon else None,
        "by": daemon.manager if daemon else None,
        "engine": _engine_fields(snapshot.engine),
        "paused": paused,
        "jobs": snapshot.counts,
        "waiting": [_job_entry(job) for job in snapshot.waiting],
        "failures": failures,
        "last_error": last_error,
    }


def _engine_fields(engine: EngineStatus | None) -> dict[str, Any] | None:
    """The engine's state and, once it is ready, what it runs on, in one object."""
    from dataclasses import asdict

    if engine is None:
        return None
    fields = asdict(engine)
    return {**fields.pop("backend", {}), **fields}


def _service_status(config: Path | None) -> dict[str, Any]:
    """Return the state of the service, and the model of ``config`` or of the service's own."""
    from dataclasses import asdict

    from ocrd.errors import ServiceError
    from ocrd.service.detect import detect_service_manager, installed_config
    from ocrd.service.service_manager import ServiceState

    try:
        manager = detect_service_manager()
    except ServiceError as error:
        state = ServiceState(None, None, installed=False, error=str(error))
    else:
        config = config or installed_config(manager)
        if manager.file.exists():
            state = manager.state()
        else:  # the manager need not be asked
            state = ServiceState(manager.name, manager.file, installed=False)
    return {
        "service": {**asdict(state), "file": state.file and str(state.file)},
        "model": _model_status(config),
    }


def _model_status(config: Path | None) -> dict[str, Any]:
    """Return where the model is. Whether it is complete, the engine and the verifier know."""
    from ocrd.config import is_managed, load_config, model_dir
    from ocrd.errors import ConfigError

    try:
        model = load_config(config).model
    except ConfigError as error:
        return {"folder": None, "there": False, "managed": None, "error": str(error)}
    folder = model_dir(model)
    return {
        "folder": str(folder),
        "there": folder.is_dir(),
        "managed": is_managed(model),
        "error": None,
    }


def _job_entry(job: Job) -> dict[str, Any]:
    return {
        "job": job.id,
        "file": str(job.path),
        "reason": job.reason,
        "message": job.message,
        "at": job.changed,
    }


def _format_service(service: dict[str, Any]) -> str:
    if not service["installed"]:
        detail = f": {service['error']}" if service["error"] else "; see: ocrd install"
        return f"not installed{detail}"
    if service["error"]:
        return f"installed ({service['manager']}), but {service['error']}"
    disabled = "disabled, " if service["disabled"] else ""
    loaded = "loaded" if service["loaded"] else "stopped; start it with: ocrd start"
    return f"installed ({service['manager']}), {disabled}{loaded}"


def _format_daemon(found: dict[str, Any]) -> str:
    from ocrd.formatting import format_time

    if not found["running"]:
        command = "ocrd start" if found["service"]["installed"] else "ocrd install, or ocrd run"
        return f"not running; start it with: {command}"
    by = f", by {found['by']}" if found["by"] else ""
    since = f", since {format_time(found['since'])}" if found["since"] else ""
    return f"running (pid {found['pid']}){by}{since}"


def _format_model(model: dict[str, Any]) -> str:
    if model["there"]:
        return str(model["folder"])
    advice = (
        "it is downloaded at the next start, or now with: ocrd model heal"
        if model["managed"]
        else "fix model.path in the configuration"
    )
    return f"{model['folder']}: does not exist; {advice}"
