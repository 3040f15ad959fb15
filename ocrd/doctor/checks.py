"""One finding after another: what was found, and what to do about it."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ocrd import paths
from ocrd.config import Config, is_managed, model_dir, models_folder
from ocrd.control.lock import is_running
from ocrd.errors import OcrdError
from ocrd.formatting import format_engine_state, format_kernels
from ocrd.inbox.access import MISSING, folder_error, folders_in_use
from ocrd.journal import FILE as JOURNAL
from ocrd.journal import Journal
from ocrd.model.environment import surroundings
from ocrd.model.hashes import HashMemory
from ocrd.model.verify import State, verify, wanted_by
from ocrd.service.detect import detect_service_manager
from ocrd.service.templates import parse_service_file
from ocrd.units import format_size

# Seconds for loading torch on a slow machine.
PROBE_PATIENCE = 120.0
# Bytes of a disk below which it is worth a word, and below which nothing works for long.
LITTLE = 2 * 10**9
NOTHING = 2 * 10**8
# Exit codes, by what a failed finding is about.
CONFIGURATION = 4
MODEL = 5
ENGINE = 6
SERVICE = 7


@dataclass(frozen=True)
class Finding:
    name: str
    state: State
    found: str
    # What to do; nothing where all is well.
    advice: str = ""
    exit_code: int = 0


def examine(
    config: Config, probe: Callable[[Config], Mapping[str, Any]] | None = None
) -> Iterator[Finding]:
    """Every finding, as it is made.

    ``probe`` asks torch about the machine, in a process of its own.
    """
    yield Finding(
        "system",
        "ok",
        f"{platform.mac_ver()[0] or platform.platform()}, Python {platform.python_version()}",
    )
    yield from _guarded("libraries", ENGINE, section=_libraries)
    yield from _guarded("plan", ENGINE, section=lambda: _engine((probe or ask_torch)(config)))
    facts: dict[str, Any] = {}

    def journal() -> Iterator[Finding]:
        facts.update(_facts())
        yield from ()

    yield from _guarded("journal", SERVICE, section=journal)
    yield from _guarded("folders", CONFIGURATION, section=lambda: _folders(config, facts))
    yield from _guarded("model", MODEL, section=lambda: iter([_model(config)]))
    yield from _guarded("disks", SERVICE, section=lambda: _disks(config))
    yield from _guarded("service", SERVICE, section=lambda: iter([_service()]))
    yield from _guarded("daemon", SERVICE, section=lambda: _daemon(facts))


def _guarded(
    name: str, exit_code: int, *, section: Callable[[], Iterator[Finding]]
) -> Iterator[Finding]:
    """What ``section`` finds.

    What stops it is a finding as well, and the rest is examined all the same.
    """
    try:
        yield from section()
    except (OSError, OcrdError, sqlite3.Error) as error:
        yield Finding(name, "fail", str(error), "mend that, then ask the doctor again", exit_code)


def _libraries() -> Iterator[Finding]:
    for check in surroundings(full=False):
        advice = "" if check.state == "ok" else f"expected {check.expected}; install ocrd anew"
        yield Finding(check.name, check.state, check.found, advice, ENGINE)


def ask_torch(config: Config) -> dict[str, Any]:
    """What `ocrd.engine.runtime.probe` says; ``error`` when it says nothing."""
    argv = [sys.executable, "-P", "-m", "ocrd.engine.runtime.probe", str(model_dir(config.model)), config.engine.device,
            config.engine.dtype]  # fmt: skip
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=PROBE_PATIENCE, check=True
        )
        said: dict[str, Any] = json.loads(done.stdout)
        return said
    except subprocess.CalledProcessError as error:
        return {
            "error": f"torch does not load: {(error.stderr.strip().splitlines() or ['no reason given'])[-1]}"
        }
    except (OSError, subprocess.TimeoutExpired, ValueError) as error:
        return {"error": f"torch cannot be asked ({error})"}


def _engine(said: Mapping[str, Any]) -> Iterator[Finding]:
    if machine := said.get("machine"):
        devices = ["MPS"] * machine["mps"] + ["CUDA"] * bool(machine["cuda"]) + ["CPU"]
        yield Finding(
            "devices", "ok", f"{', '.join(devices)}; {format_size(machine['memory'])} of memory"
        )
    if "error" in said:
        yield Finding(
            "plan", "fail", said["error"], "mend engine.device, or install ocrd anew", ENGINE
        )
        return
    tried = "; then ".join(
        f"{c['device']} in {c['dtype']} ({c['why']})" for c in said["candidates"]
    )
    last_resort = said["candidates"][0]["why"] == "the last resort"
    advice = (
        "the model does not fit into this machine's memory and will be very slow"
        if last_resort
        else ""
    )
    yield Finding("plan", "warn" if last_resort else "ok", tried, advice)


def _folders(config: Config, facts: Mapping[str, Any]) -> Iterator[Finding]:
    """As this process sees them, and as the daemon did, which a Mac may refuse what it allows a
    terminal.
    """
    daemons = facts.get("folders") or {}
    for name, folder in folders_in_use(config):
        here = folder_error(folder)
        there = daemons.get(str(folder))
        advice = "see that it is there and that you may write into it"
        if (
            here is None and there and there != MISSING
        ):  # what was not there when it started may be by now
            here = f"the daemon is refused: {there}"
            advice = "allow ocrd access in System Settings, Privacy & Security, Files and Folders; then restart it"
        if here == MISSING:
            yield Finding(
                name, "warn", f"{folder}: not there yet", "ocrd init makes it, or the first start"
            )
        elif here:
            yield Finding(name, "fail", f"{folder}: {here}", advice, CONFIGURATION)
        else:
            asked = "this command and the daemon" if str(folder) in daemons else "this command"
            yield Finding(name, "ok", f"{folder}: may be written by {asked}")


def _model(config: Config) -> Finding:
    report = verify(
        model_dir(config.model),
        HashMemory(paths.hash_memory_file()),
        wanted=wanted_by(config.model),
    )
    if report.ok:
        return Finding("model", "ok", f"{report.folder}: {len(report.checks)} checks, none failed")
    said = "; ".join(f"{c.name}: {c.found}" for c in report.failures[:3])
    if is_managed(config.model):
        missing = not report.folder.exists()
        return Finding(
            "model",
            "warn" if missing else "fail",
            f"{report.folder}: {said}",
            "run: ocrd model heal",
            MODEL,
        )
    return Finding(
        "model", "fail", f"{report.folder}: {said}", "mend that folder, or remove model.path", MODEL
    )


def _disks(config: Config) -> Iterator[Finding]:
    wanted = dict([*folders_in_use(config), ("models", models_folder(config.model))])
    seen: set[int] = set()
    for name, wished in wanted.items():
        folder = paths.nearest_existing_folder(wished)
        if folder.stat().st_dev in seen:
            continue
        seen.add(folder.stat().st_dev)
        free = shutil.disk_usage(folder).free
        state: State = "fail" if free < NOTHING else "warn" if free < LITTLE else "ok"
        advice = "" if state == "ok" else "free some space"
        yield Finding(
            f"disk of {name}", state, f"{format_size(free)} free at {folder}", advice, SERVICE
        )


def _facts() -> dict[str, Any]:
    """What a running daemon published; nothing when none runs."""
    state = paths.state_dir()
    if not (state / JOURNAL).exists():
        return {}
    journal = Journal(
        state
    )  # opened whether a daemon runs or not: one that is broken is worth knowing
    if not is_running(state):
        journal.close()
        return {}
    try:
        return {name: journal.fact(name) for name in ("daemon", "engine", "folders")} | {
            "jobs": journal.counts()
        }
    finally:
        journal.close()


def _service() -> Finding:
    manager = detect_service_manager()
    if not manager.file.exists():
        return Finding("service", "ok", "not installed")
    program = parse_service_file(manager.file).program
    state = manager.state()
    if state.error:
        return Finding("service", "warn", state.error, "see the sentence", SERVICE)
    if not os.access(program, os.X_OK):
        found = f"it would start {program}, which is not there"
        return Finding("service", "fail", found, "run: ocrd install", SERVICE)
    if not state.loaded:
        return Finding(
            "service",
            "warn",
            f"installed ({manager.name}), but stopped",
            "run: ocrd start",
            SERVICE,
        )
    return Finding("service", "ok", f"installed ({manager.name}); it starts {program}")


def _daemon(facts: Mapping[str, Any]) -> Iterator[Finding]:
    if not facts:
        yield Finding(
            "daemon",
            "warn",
            "not running",
            "start it with: ocrd start, or ocrd run; a first time: ocrd install",
        )
        return
    jobs = ", ".join(f"{count} {state}" for state, count in facts["jobs"].items())
    yield Finding("daemon", "ok", f"running (pid {(facts['daemon'] or {}).get('pid')}); {jobs}")
    engine = facts["engine"]
    waits = engine is not None and engine["state"] == "waiting"
    yield Finding(
        "engine",
        "warn" if waits else "ok",
        format_engine_state(engine),
        "see the sentence" if waits else "",
    )
    if engine and engine.get("tuned"):
        yield Finding("kernels", "ok", format_kernels(engine))
    for reason in (engine or {}).get("skipped", ()):
        yield Finding("skipped device", "warn", reason, "the log has the stack trace")
