"""The service's files, made from the templates in ``launchd/`` and ``systemd/``.

The templates for launchd are valid property lists themselves. They are parsed, filled in and
written again, so a value can never break the syntax.
"""

from __future__ import annotations

import plistlib
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ocrd import paths
from ocrd.errors import ServiceError
from ocrd.system_commands import LABEL

# A word as `_quote_for_systemd` writes it.
_QUOTED_WORD = r'"((?:[^"\\\n]|\\.)+)"'
_EXEC_START = re.compile(rf"^ExecStart={_QUOTED_WORD} run --config {_QUOTED_WORD}$", re.MULTILINE)


@dataclass(frozen=True)
class TemplateContext:
    """The values that the templates are filled in with.

    Raises:
        ServiceError: A path is relative or contains control characters.
    """

    # The ``ocrd`` program.
    program: Path
    config: Path
    home: Path
    # launchd.log
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for path in (self.program, self.config, self.home, self.log):
            if not path.is_absolute() or not str(path).isprintable():
                raise ServiceError(
                    f"{str(path)!r}: a service needs an absolute path without control characters"
                )


@dataclass(frozen=True)
class ServiceCommand:
    """What a service's file starts."""

    program: Path
    config: Path


def launch_agent(context: TemplateContext) -> bytes:
    """Return the property list of the LaunchAgent."""
    values = {
        "LABEL": LABEL,
        "PROGRAM": context.program,
        "CONFIG": context.config,
        "HOME": context.home,
        "LOG": context.log,
    }
    plist = _render_plist("launchd/agent.plist", values)
    plist["EnvironmentVariables"] |= context.environment
    return plistlib.dumps(plist, sort_keys=False)


def quick_action(context: TemplateContext) -> dict[str, bytes]:
    """Return the files of the Quick Action's ``Contents`` folder, by name."""
    command = f'exec {_submit_command(context)} -- "$@"'
    templates = {
        "Info.plist": _render_plist("launchd/quick-action/Info.plist", {}),
        "document.wflow": _render_plist(
            "launchd/quick-action/document.wflow", {"COMMAND": command}
        ),
    }
    return {name: plistlib.dumps(plist, sort_keys=False) for name, plist in templates.items()}


def systemd_unit(context: TemplateContext) -> bytes:
    """Return the systemd user unit."""
    text = paths.shipped("systemd/ocrd.service").read_text(encoding="utf-8")
    # systemd expands "$" in arguments, but neither in the program's name nor in Environment=.
    config = _quote_for_systemd(str(context.config)).replace("$", "$$")
    environment = "\n".join(
        f"Environment={_quote_for_systemd(f'{name}={value}')}"
        for name, value in context.environment.items()
    )
    values = {
        "PROGRAM": _quote_for_systemd(str(context.program)),
        "CONFIG": config,
        "ENVIRONMENT": environment,
    }
    lines = [line for line in text.splitlines() if line != "@ENVIRONMENT@" or environment]
    return (_substitute("\n".join(lines), values) + "\n").encode()


def parse_service_file(file: Path) -> ServiceCommand:
    """Read the program and the configuration from a file that this module wrote.

    Raises:
        ServiceError: The file cannot be read, or ocrd did not write it.
    """
    try:
        data = file.read_bytes()
        if file.suffix == ".plist":
            program, _, _, config = plistlib.loads(data)["ProgramArguments"]
            return ServiceCommand(Path(program), Path(config))
        command = _EXEC_START.search(data.decode())
        assert command is not None
        program = _unquote_for_systemd(command[1])
        config = _unquote_for_systemd(command[2]).replace("$$", "$")
        return ServiceCommand(Path(program), Path(config))
    except Exception as error:  # a file that ocrd did not write may raise anything
        raise ServiceError(
            f"{file}: cannot find the service's command ({error!r}); run: ocrd install"
        ) from error


def hazel_recipe(context: TemplateContext) -> str:
    """Return ``docs/hazel.md`` with this machine's command to submit a file."""
    text = paths.shipped("docs/hazel.md").read_text(encoding="utf-8")
    return _substitute(text, {"SUBMIT": _submit_command(context)})


def _submit_command(context: TemplateContext) -> str:
    """Return ``ocrd submit`` for a shell, with the variables that select the service's queue."""
    variables = [f"{name}={value}" for name, value in context.environment.items()]
    prefix = ["/usr/bin/env", *variables] if variables else []
    return shlex.join([*prefix, str(context.program), "submit"])


def _quote_for_systemd(value: str) -> str:
    """Quote one word for systemd, escaping also its specifiers such as ``%h``."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%") + '"'


def _unquote_for_systemd(word: str) -> str:
    return re.sub(r"\\(.)", r"\1", word).replace("%%", "%")


def _render_plist(template: str, values: Mapping[str, object]) -> Any:
    return _substitute_all(plistlib.loads(paths.shipped(template).read_bytes()), values)


def _substitute_all(node: Any, values: Mapping[str, object]) -> Any:
    """Substitute in every string of a property list."""
    if isinstance(node, dict):
        return {key: _substitute_all(value, values) for key, value in node.items()}
    if isinstance(node, list):
        return [_substitute_all(value, values) for value in node]
    return _substitute(node, values) if isinstance(node, str) else node


def _substitute(text: str, values: Mapping[str, object]) -> str:
    """Replace each ``@NAME@`` by its value, once: values are not searched for further names."""
    return re.sub(r"@([A-Z]+)@", lambda match: str(values.get(match[1], match[0])), text)
