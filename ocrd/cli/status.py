"""``ocrd status``: what the daemon does, from its journal."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ocrd.cli.app import JsonOption

if TYPE_CHECKING:
    from ocrd.journal import Job


def status(as_json: JsonOption = False) -> None:
    """Show whether the daemon runs, its engine, the queue, and the latest failures."""
    import json

    found = _look()
    if as_json:
        print(json.dumps(found, indent=2))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from ocrd.words import engine_words

    table = Table(show_header=False, box=None)
    table.add_row(
        "daemon", f"running (pid {found['pid']})" if found["running"] else "not running; start it with: ocrd run"
    )
    table.add_row("engine", Text(engine_words(found["engine"])))
    for reason in (found["engine"] or {}).get("skipped", ()):
        table.add_row("skipped", Text(reason, "yellow"))
    table.add_row("jobs", ", ".join(f"{n} {state}" for state, n in found["jobs"].items()))
    # As plain text: a file's name may hold what rich takes for markup, or bytes that are no UTF-8.
    for name, label, colour in (("waiting", "waiting", "yellow"), ("failures", "failed", "red")):
        for job in found[name]:
            said = f"{job['file']}: {job['message']}".encode("utf-8", "backslashreplace").decode()
            table.add_row(label, Text(said, colour))
    Console().print(table)


def _look() -> dict[str, Any]:
    from ocrd import paths
    from ocrd.daemon.lock import is_running
    from ocrd.journal import FILE, Journal

    state = paths.state_dir()
    running = is_running(state)
    if not (state / FILE).exists():
        none = dict.fromkeys(("queued", "running", "done", "failed"), 0)
        return {"running": running, "pid": None, "engine": None, "jobs": none, "waiting": [], "failures": []}
    journal = Journal(state)
    try:
        return {
            "running": running,
            "pid": (journal.fact("daemon") or {}).get("pid") if running else None,
            "engine": journal.fact("engine") if running else None,
            "jobs": journal.counts(),
            "waiting": [_entry(job) for job in journal.waiting()],
            # A file that its owner took away needs no more attention.
            "failures": [_entry(job) for job in journal.failures() if os.path.lexists(job.path)],
        }
    finally:
        journal.close()


def _entry(job: Job) -> dict[str, Any]:
    return {"job": job.id, "file": str(job.path), "reason": job.reason, "message": job.message, "at": job.changed}
