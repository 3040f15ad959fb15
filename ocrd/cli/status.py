"""``ocrd status``: what the daemon does, from its journal."""

from __future__ import annotations

from typing import Any

from ocrd.cli.app import JsonOption


def status(as_json: JsonOption = False) -> None:
    """Show whether the daemon runs, its engine, the queue, and the latest failures."""
    import json

    found = _look()
    if as_json:
        print(json.dumps(found, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(show_header=False, box=None)
    table.add_row(
        "daemon", f"running (pid {found['pid']})" if found["running"] else "not running; start it with: ocrd run"
    )
    table.add_row("engine", _engine(found["engine"]))
    table.add_row("jobs", ", ".join(f"{n} {state}" for state, n in found["jobs"].items()))
    for failure in found["failures"]:
        table.add_row("failed", f"{failure['file']}: {failure['message']}", style="red")
    Console().print(table)


def _look() -> dict[str, Any]:
    from ocrd import paths
    from ocrd.daemon.lock import is_running
    from ocrd.journal import FILE, Journal

    state = paths.state_dir()
    running = is_running(state)
    if not (state / FILE).exists():
        none = dict.fromkeys(("queued", "running", "done", "failed"), 0)
        return {"running": running, "pid": None, "engine": None, "jobs": none, "failures": []}
    journal = Journal(state)
    try:
        return {
            "running": running,
            "pid": (journal.fact("daemon") or {}).get("pid") if running else None,
            "engine": journal.fact("engine") if running else None,
            "jobs": journal.counts(),
            "failures": [
                {"job": j.id, "file": str(j.path), "reason": j.reason, "message": j.message, "at": j.changed}
                for j in journal.failures()
            ],
        }
    finally:
        journal.close()


def _engine(engine: dict[str, Any] | None) -> str:
    if engine is None:
        return "-"
    if engine["state"] == "loading":
        return f"loading the model, {engine['done']:.0%}"
    if engine["state"] == "ready":
        return f"ready on {engine['device']} in {engine['dtype']}, mode {engine['mode']}"
    return str(engine["state"])
