"""The service's files, from their templates in ``launchd/`` and ``systemd/``.

Property lists in, property lists out.
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


@dataclass(frozen=True)
class Facts:
    """What a template is filled in with."""

    program: Path
    config: Path
    home: Path
    # launchd.log.
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for path in (self.program, self.config, self.home, self.log):
            if not path.is_absolute() or not str(path).isprintable():
                raise ServiceError(
                    f"{str(path)!r}: a service needs a whole path in plain characters"
                )


def agent(facts: Facts) -> bytes:
    """The LaunchAgent's property list."""
    values = {
        "LABEL": LABEL,
        "PROGRAM": facts.program,
        "CONFIG": facts.config,
        "HOME": facts.home,
        "LOG": facts.log,
    }
    plist = _filled("launchd/agent.plist", values)
    plist["EnvironmentVariables"] |= facts.environment
    return plistlib.dumps(plist, sort_keys=False)


def quick_action(facts: Facts) -> dict[str, bytes]:
    """The files below the Quick Action's ``Contents`` folder."""
    command = f'exec {_submitting(facts)} -- "$@"'
    return {
        "Info.plist": plistlib.dumps(
            _filled("launchd/quick-action/Info.plist", {}), sort_keys=False
        ),
        "document.wflow": plistlib.dumps(
            _filled("launchd/quick-action/document.wflow", {"COMMAND": command}), sort_keys=False
        ),
    }


def unit(facts: Facts) -> bytes:
    """The systemd user unit."""
    text = paths.shipped("systemd/ocrd.service").read_text(encoding="utf-8")
    # A "$" in an argument is a variable for systemd; in the program's name and in Environment= it
    # is not.
    variables = "\n".join(
        f"Environment={_quoted(f'{n}={v}')}" for n, v in facts.environment.items()
    )
    config = _quoted(str(facts.config)).replace("$", "$$")
    values = {"PROGRAM": _quoted(str(facts.program)), "CONFIG": config, "ENVIRONMENT": variables}
    kept = [line for line in text.splitlines() if line != "@ENVIRONMENT@" or variables]
    return (_put_in("\n".join(kept), values) + "\n").encode()


def started_by(file: Path) -> tuple[Path, Path]:
    """The program and the configuration that a service's file names.

    Raises ServiceError when it is none of ours.
    """
    try:
        data = file.read_bytes()
        if file.suffix == ".plist":
            program, _, _, config = plistlib.loads(data)["ProgramArguments"]
            return Path(program), Path(config)
        command = re.search(
            rf"^ExecStart={_WORD} run --config {_WORD}$", data.decode(), re.MULTILINE
        )
        assert command is not None
        program, config = (
            re.sub(r"\\(.)", r"\1", word).replace("%%", "%") for word in command.groups()
        )
        return Path(program), Path(config.replace("$$", "$"))
    except Exception as error:  # somebody else's file may raise anything
        raise ServiceError(
            f"{file}: cannot be made sense of ({error!r}); run: ocrd install"
        ) from error


# As `_quoted` writes it.
_WORD = r'"((?:[^"\\\n]|\\.)+)"'


def recipe(facts: Facts) -> str:
    """``docs/hazel.md`` with this machine's way to submit a file."""
    return _put_in(
        paths.shipped("docs/hazel.md").read_text(encoding="utf-8"), {"SUBMIT": _submitting(facts)}
    )


def _submitting(facts: Facts) -> str:
    """``ocrd submit`` as a shell reads it, with the variables by which it finds the service's
    queue.
    """
    variables = [f"{name}={value}" for name, value in facts.environment.items()]
    return shlex.join(
        [*(["/usr/bin/env", *variables] if variables else []), str(facts.program), "submit"]
    )


def _quoted(value: str) -> str:
    """One word for systemd: in quotes, with its escapes and without its specifiers (``%h``)."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%") + '"'


def _filled(name: str, values: Mapping[str, object]) -> Any:
    return _walk(plistlib.loads(paths.shipped(name).read_bytes()), values)


def _walk(node: Any, values: Mapping[str, object]) -> Any:
    if isinstance(node, dict):
        return {key: _walk(value, values) for key, value in node.items()}
    if isinstance(node, list):
        return [_walk(value, values) for value in node]
    return _put_in(node, values) if isinstance(node, str) else node


def _put_in(text: str, values: Mapping[str, object]) -> str:
    """Each ``@NAME@`` by its value, once: a value that looks like one is left as it is."""
    return re.sub(r"@([A-Z]+)@", lambda found: str(values.get(found[1], found[0])), text)
