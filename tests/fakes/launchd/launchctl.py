"""The program launchctl: one function for each verb."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from .answers import (
    MESSAGES,
    Answer,
    describe_service,
    failure,
    no_domain,
    not_found,
    usage,
)
from .state import Job, append_line, locked_state, read_script, replace
from .supervisor import TICK_S, fork_supervisor

TARGET = re.compile(r"(?P<domain>system|(?:gui|user)/\d+)(?:/(?P<label>[^/]+))?")


def main(root: str) -> NoReturn:
    """Run the call in ``sys.argv`` and exit with its code."""
    answer = perform(Path(root), sys.argv[1:])
    if answer.out:
        print(answer.out, flush=True)
    if answer.err:
        print(answer.err, file=sys.stderr, flush=True)
    os._exit(answer.code)  # the interpreter's regular exit took 4 of 30 ms


def perform(root: Path, argv: Sequence[str]) -> Answer:
    """Record the call and do what it asks for, or give the answer that a test scripted."""
    with locked_state(root):
        append_line(root / "calls", argv)
        scripted = _next_scripted_answer(root, argv[0] if argv else "")
    if scripted is not None:
        time.sleep(scripted.get("hang", 0))
        return Answer(scripted.get("code", 0), err=scripted.get("stderr", ""))
    match argv:
        case ["bootstrap", domain, plist] if _is_domain(domain):
            return _missing_domain(root, argv[0], domain=domain) or bootstrap(
                root, domain, plist=Path(plist)
            )
        case ["print-disabled" | "print", domain] if _is_domain(domain):
            return _missing_domain(root, argv[0], domain=domain) or print_domain(
                root, argv[0], domain=domain
            )
        case [verb, *options, target] if (parts := TARGET.fullmatch(target)) and parts["label"]:
            return _missing_domain(root, verb, domain=parts["domain"]) or _on_service(
                root, verb, options=options, target=target
            )
    return usage()


def _is_domain(text: str) -> bool:
    found = TARGET.fullmatch(text)
    return found is not None and not found["label"]


def _next_scripted_answer(root: Path, verb: str) -> dict[str, Any] | None:
    script = read_script(root)
    for answer in script.get("answers", []):
        if answer["verb"] == verb and answer.get("times", 1) > 0:
            answer["times"] = answer.get("times", 1) - 1
            replace(root / "script.json", json.dumps(script))
            return dict(answer)
    return None


def _missing_domain(root: Path, verb: str, *, domain: str) -> Answer | None:
    is_missing = domain in read_script(root).get("no_domain", [])
    return no_domain(verb, domain) if is_missing else None


def _on_service(root: Path, verb: str, *, options: list[str], target: str) -> Answer:
    match verb, options:
        case "print", []:
            return print_service(root, target)
        case "bootout", []:
            return bootout(root, target)
        case (("enable" | "disable"), []):
            return set_disabled(root, target, disabled=verb == "disable")
        case "kickstart", ([] | ["-k"]):
            return kickstart(root, target, kill_first=bool(options))
        case "kill", [name] if (number := _signal_number(name)) is not None:
            return kill(root, target, number=number)
    return usage()


def _signal_number(name: str) -> int | None:
    if name.isdigit():
        return int(name) if int(name) in signal.valid_signals() else None
    return signal.Signals.__members__.get(name if name.startswith("SIG") else f"SIG{name}")


def bootstrap(root: Path, domain: str, *, plist: Path) -> Answer:
    """Register the service of a plist and start it if its keys say so."""
    from .jobs import BadPlist, read_job  # plistlib is needed here only

    script = read_script(root)
    with locked_state(root) as state:
        try:
            job = read_job(root, plist)
        except BadPlist as error:
            return Answer(5, err=f"Bootstrap failed: 5: {MESSAGES[5]} ({error})")
        target = f"{domain}/{job['label']}"
        if target in state["services"]:
            return failure("Bootstrap", 5)
        if state["disabled"].get(domain, {}).get(job["label"]):
            return failure("Bootstrap", 5 if script.get("disabled_is_5") else 119)
        starts = _starts_at_load(job) and not script.get("no_pid")
        state["services"][target] = {
            "job": job,
            "supervisor": fork_supervisor(root, target),
            "pid": None,
            "runs": 0,
            "last_exit": None,
            "requested": "start" if starts else "",
            "scheduled": False,
            "draining": False,
            "polls_left": 0,
        }
    if starts:
        _wait_for_start(root, target, runs=0)
    return Answer()


def _starts_at_load(job: Job) -> bool:
    # The man page: a KeepAlive that depends on how the process ended implies RunAtLoad.
    return job["run_at_load"] or job["keep_alive"] or job["successful_exit"] is not None


def _wait_for_start(root: Path, target: str, *, runs: int) -> None:
    """Wait until the service was started once more than ``runs``, or will not be started."""
    while True:
        with locked_state(root) as state:
            service = state["services"].get(target)
            if service is None or service["draining"] or service["runs"] > runs:
                return
        time.sleep(TICK_S / 4)


def bootout(root: Path, target: str) -> Answer:
    """Ask the supervisor to stop the service; returns before it is gone."""
    with locked_state(root) as state:
        service = state["services"].get(target)
        if service is None:
            return failure("Boot-out", 3)
        if service["draining"]:
            return failure("Boot-out", 36)
        service["draining"] = True
        service["polls_left"] = int(read_script(root).get("drain_polls", 0))
    return Answer()


def set_disabled(root: Path, target: str, *, disabled: bool) -> Answer:
    """Enable or disable a service, registered or not."""
    domain, _, label = target.rpartition("/")
    with locked_state(root) as state:
        state["disabled"].setdefault(domain, {})[label] = disabled
    return Answer()


def kickstart(root: Path, target: str, *, kill_first: bool) -> Answer:
    """Start a registered service; with ``kill_first`` stop its process before."""
    with locked_state(root) as state:
        service = state["services"].get(target)
        if service is None:
            return not_found(target)
        if service["draining"]:
            return Answer(37, err=f"Could not kickstart service: 37: {MESSAGES[37]}")
        if service["pid"] is not None and not kill_first:
            return Answer()
        runs = service["runs"]
        service["requested"] = "restart" if kill_first else "start"
    _wait_for_start(root, target, runs=runs)
    return Answer()


def kill(root: Path, target: str, *, number: int) -> Answer:
    """Send a signal to the service's process."""
    # A supervisor reaps only while it holds the lock, so the pid is still the service's own.
    with locked_state(root) as state:
        service = state["services"].get(target)
        if service is None:
            return not_found(target)
        if service["pid"] is None:
            return Answer(3, err="No process to signal.")
        os.kill(service["pid"], number)
    return Answer()


def print_domain(root: Path, verb: str, *, domain: str) -> Answer:
    """List a domain's services, or with ``print-disabled`` which are disabled."""
    with locked_state(root) as state:
        targets = [target.rpartition("/") for target in state["services"]]
        disabled = state["disabled"].get(domain, {})
    if verb == "print":
        labels = [f"\t\t{label}" for its_domain, _, label in targets if its_domain == domain]
        return Answer(out="\n".join([f"{domain} = {{", "\tservices = {", *labels, "\t}", "}"]))
    has_old_words = read_script(root).get("old_words")
    words = ("false", "true") if has_old_words else ("enabled", "disabled")
    lines = [f'\t\t"{label}" => {words[is_disabled]}' for label, is_disabled in disabled.items()]
    return Answer(out="\n".join(["", "\tdisabled services = {", *lines, "\t}"]))


def print_service(root: Path, target: str) -> Answer:
    """Describe a registered service."""
    with locked_state(root) as state:
        service = state["services"].get(target)
        if service is None:
            return not_found(target)
        has_ended = service["draining"] and service["supervisor"] is None
        if has_ended:
            service["polls_left"] -= 1
            if service["polls_left"] <= 0:
                del state["services"][target]
    return Answer(out=describe_service(target, service))
