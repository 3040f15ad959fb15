"""What launchctl answers: exit codes and messages as macOS gives them."""

from __future__ import annotations

import signal
from typing import NamedTuple

from .state import Service

START_FAILED = 78
USAGE = """\
usage: launchctl print DOMAIN[/LABEL] | print-disabled DOMAIN | bootstrap DOMAIN PLIST
       bootout TARGET | enable TARGET | disable TARGET | kickstart [-k] TARGET
       kill SIGNAL TARGET      TARGET is DOMAIN/LABEL"""
MESSAGES = {
    3: "No such process",
    5: "Input/output error",
    36: "Operation now in progress",
    37: "Operation already in progress",
    119: "Service is disabled",
}


class Answer(NamedTuple):
    """An exit code and what is printed."""

    code: int = 0
    out: str = ""
    err: str = ""


def usage() -> Answer:
    """Answer a call that the fake does not know."""
    return Answer(64, err=USAGE)


def failure(what: str, code: int) -> Answer:
    """Answer a call that failed."""
    return Answer(code, err=f"{what} failed: {code}: {MESSAGES[code]}")


def not_found(target: str) -> Answer:
    """Answer a call for a service that is not registered."""
    domain, _, label = target.rpartition("/")
    message = f'Could not find service "{label}" in domain for {describe_domain(domain)}'
    return Answer(113, err=f"Bad request.\n{message}")


def no_domain(verb: str, domain: str) -> Answer:
    """Answer a call for a domain that does not exist."""
    message = f"Could not find domain for {describe_domain(domain)}"
    return Answer(112 if verb == "print" else 125, err=f"Bad request.\n{message}")


def describe_domain(domain: str) -> str:
    """Return a domain in launchctl's words."""
    kind, _, uid = domain.partition("/")
    return {"gui": f"user gui: {uid}", "user": f"uid: {uid}"}.get(kind, kind)


def describe_service(target: str, service: Service) -> str:
    """Return the output of ``launchctl print`` for a service."""
    job = service["job"]
    arguments = [f"\t\t{argument}" for argument in job["arguments"]]
    variables = [f"\t\t{name} => {value}" for name, value in job["environment"].items()]
    lines = [
        f"{target} = {{",
        f"\tactive count = {int(service['pid'] is not None)}",
        f"\tpath = {job['plist']}",
        "\ttype = LaunchAgent",
        f"\tstate = {_describe_state(service)}",
        "",
        f"\tprogram = {job['program']}",
        *("\targuments = {", *arguments, "\t}", ""),
        *("\tenvironment = {", *variables, "\t}", ""),
        f"\tdomain = {target.rpartition('/')[0]}",
        f"\tminimum runtime = {job['throttle']:g}",
        f"\texit timeout = {job['exit_timeout']:g}",
        f"\truns = {service['runs']}",
        *([] if service["pid"] is None else [f"\tpid = {service['pid']}"]),
        f"\t{_describe_last_exit(service['last_exit'])}",
        "}",
    ]
    return "\n".join(lines)


def _describe_state(service: Service) -> str:
    if service["draining"]:
        return "SIGTERMed"
    if service["pid"] is not None:
        return "running"
    return "spawn scheduled" if service["scheduled"] else "not running"


def _describe_last_exit(code: int | None) -> str:
    if code is None:
        return "last exit code = (never exited)"
    if code < 0:
        return f"last terminating signal = {signal.strsignal(-code)}: {-code}"
    return f"last exit code = {'78: EX_CONFIG' if code == START_FAILED else code}"
