"""``ocrd status``: what the daemon does, from its journal."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocrd.cli.app import ConfigOption, JsonOption

if TYPE_CHECKING:
    from ocrd.journal import Job


def status(config: ConfigOption = None, *, as_json: JsonOption = False) -> None:
    """Show the service, the daemon, model and engine, the queue, and the latest failures."""
    import json

    found = _look() | _service(config)
    if as_json:
        print(json.dumps(found, indent=2))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from ocrd.formatting import format_engine_state, format_time, printable

    table = Table(show_header=False, box=None)
    table.add_row("service", Text(_service_words(found["service"])))
    table.add_row("daemon", Text(_daemon_words(found)))
    table.add_row("model", Text(found["model"]["error"] or _model_words(found["model"])))
    table.add_row("engine", Text(format_engine_state(found["engine"])))
    if found["paused"]:
        table.add_row("paused", Text(found["paused"], "yellow"))
    for reason in (found["engine"] or {}).get("skipped", ()):
        table.add_row("skipped", Text(reason, "yellow"))
    table.add_row("jobs", ", ".join(f"{n} {state}" for state, n in found["jobs"].items()))
    # As plain text: a file's name may hold what rich takes for markup.
    for name, label, colour in (("waiting", "waiting", "yellow"), ("failures", "failed", "red")):
        for job in found[name]:
            table.add_row(label, Text(printable(f"{job['file']}: {job['message']}"), colour))
    if last := found["last_error"]:
        table.add_row(
            "last error", Text(printable(f"{last['message']} ({format_time(last['at'])})"), "red")
        )
    Console().print(table)


def _look() -> dict[str, Any]:
    from dataclasses import asdict

    from ocrd import paths
    from ocrd.control.exit_record import last_exit
    from ocrd.control.lock import is_running
    from ocrd.journal import FILE, Journal

    state = paths.state_dir()
    running = is_running(state)
    ended = last_exit(state)
    found: dict[str, Any] = {
        "running": running,
        **dict.fromkeys(("pid", "since", "by", "engine", "paused")),
        "jobs": dict.fromkeys(("queued", "running", "done", "failed"), 0),
        "waiting": [],
        "failures": [],
        "last_error": asdict(ended) if ended else None,
    }
    if not (state / FILE).exists():
        return found
    journal = Journal(state)
    try:
        fact = (journal.fact("daemon") or {}) if running else {}
        found |= {key: fact.get(key) for key in ("pid", "since", "by")}
        if running:
            found |= {"engine": journal.fact("engine"), "paused": journal.fact("paused")}
        elif journal.fact("pause"):
            found["paused"] = "by hand; go on with: ocrd resume"
        found["jobs"] = journal.counts()
        found["waiting"] = [_entry(job) for job in journal.waiting()]
        # A file that its owner took away needs no more attention.
        failures = [job for job in journal.failures(limit=1000) if os.path.lexists(job.path)]
        found["failures"] = [_entry(job) for job in failures[:10]]
        if found["failures"] and (ended is None or found["failures"][0]["at"] > ended.at):
            found["last_error"] = {
                "at": found["failures"][0]["at"],
                "message": found["failures"][0]["message"],
            }
        return found
    finally:
        journal.close()


def _service(config: Path | None) -> dict[str, Any]:
    """The service, and the model of its configuration unless another one is named."""
    from dataclasses import asdict

    from ocrd.errors import ServiceError
    from ocrd.service.detect import detect_service_manager, installed_config
    from ocrd.service.service_manager import ServiceState

    try:
        manager = detect_service_manager()
        # Nobody need be asked about what is not there.
        state = (
            manager.state()
            if manager.file.exists()
            else ServiceState(manager.name, manager.file, installed=False)
        )
    except ServiceError as error:
        state = ServiceState(None, None, installed=False, error=str(error))
    else:
        config = config or installed_config(manager)
    return {
        "service": {**asdict(state), "file": state.file and str(state.file)},
        "model": _model(config),
    }


def _service_words(service: dict[str, Any]) -> str:
    if not service["installed"]:
        return (
            f"not installed{': ' + service['error'] if service['error'] else '; see: ocrd install'}"
        )
    if service["error"]:
        return f"installed ({service['manager']}), but {service['error']}"
    said = "loaded" if service["loaded"] else "stopped; start it with: ocrd start"
    return f"installed ({service['manager']}), {'disabled, ' if service['disabled'] else ''}{said}"


def _daemon_words(found: dict[str, Any]) -> str:
    from ocrd.formatting import format_time

    if not found["running"]:
        installed = found["service"]["installed"]
        return f"not running; start it with: {'ocrd start' if installed else 'ocrd install, or ocrd run'}"
    by = f", by {found['by']}" if found["by"] else ""
    since = f", since {format_time(found['since'])}" if found["since"] else ""
    return f"running (pid {found['pid']}){by}{since}"


def _model(config: Path | None) -> dict[str, Any]:
    """Where it is; whether it is whole says the engine, or ``ocrd model verify``."""
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


def _model_words(model: dict[str, Any]) -> str:
    if model["there"]:
        return str(model["folder"])
    way = (
        "it is fetched at the next start, or by: ocrd model heal"
        if model["managed"]
        else "mend model.path"
    )
    return f"{model['folder']}: not there; {way}"


def _entry(job: Job) -> dict[str, Any]:
    return {
        "job": job.id,
        "file": str(job.path),
        "reason": job.reason,
        "message": job.message,
        "at": job.changed,
    }
