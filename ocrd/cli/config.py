"""``ocrd config``: check, show and edit the configuration file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocrd.cli.app import ConfigOption, JsonOption

if TYPE_CHECKING:
    from collections.abc import Mapping

app = typer.Typer(
    help="Check, show and edit the configuration file.", no_args_is_help=True, rich_markup_mode=None
)


@app.command()
def check(config: ConfigOption = None, *, as_json: JsonOption = False) -> None:
    """Check the configuration file and explain every mistake; ends with 4 if there is one."""
    import json

    from ocrd.config import InvalidConfig, read_config
    from ocrd.errors import ConfigError
    from ocrd.service.detect import default_config

    path = _file(config)
    errors: list[str] = []
    warnings: list[str] = []
    try:
        warnings = [str(warning) for warning in read_config(default_config(config)).warnings]
    except InvalidConfig as error:
        errors = list(error.problems)
    except ConfigError as error:
        errors = [str(error).removeprefix(f"{path}: ")]
    if as_json:
        result = {"path": str(path), "exists": path.exists(), "ok": not errors}
        print(json.dumps({**result, "errors": errors, "warnings": warnings}, indent=2))
    else:
        for warning in warnings:
            print(f"{path}: warning: {warning}")
        for sentence in errors:
            print(f"{path}: {sentence}")
        if not errors:
            print(f"ok: {path}" + ("" if path.exists() else " does not exist; the defaults apply"))
    if errors:
        raise typer.Exit(ConfigError.exit_code)


@app.command()
def path(config: ConfigOption = None, *, as_json: JsonOption = False) -> None:
    """Print the path of the configuration file, whether it exists or not."""
    import json

    where = _file(config)
    print(json.dumps({"path": str(where), "exists": where.exists()}) if as_json else where)


@app.command()
def show(
    config: ConfigOption = None,
    *,
    changed: Annotated[
        bool, typer.Option("--changed", help="Only the settings that are not at their defaults.")
    ] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="With what each setting does and allows.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Print the settings in effect as TOML; those that are not at their defaults are marked."""
    import json

    from ocrd.config import read_config
    from ocrd.config.document import changed_keys, effective_text, effective_values
    from ocrd.service.detect import default_config

    loaded = read_config(default_config(config))
    if as_json:
        result = {
            "path": str(loaded.path),
            "exists": loaded.exists,
            "settings": effective_values(loaded.config, only_changed=changed),
            "changed": changed_keys(loaded.config),
        }
        print(json.dumps(result, indent=2))
        return
    print(f"# {loaded.path}" + ("" if loaded.exists else " does not exist; the defaults apply"))
    text = effective_text(loaded.config, explain=explain, only_changed=changed)
    print(f"\n{text}" if text else "# every setting is at its default\n", end="")


@app.command()
def edit(config: ConfigOption = None) -> None:
    """Open the configuration file in $VISUAL or $EDITOR, and check it afterwards."""
    import os
    import subprocess

    from ocrd.errors import OcrdError, UsageError
    from ocrd.service.first_run import write_config

    where = _file(config)
    command = _editor(os.environ, where)
    if write_config(where):
        print(f"wrote {where}")
    try:
        code = subprocess.run([*command, str(where)], check=False).returncode
    except OSError as error:
        raise UsageError(
            f"the editor {command[0]} cannot be started ({error.strerror}); check VISUAL and EDITOR"
        ) from error
    if code != 0:
        raise OcrdError(f"the editor {command[0]} ended with code {code}; {where} is not checked")
    check(where)
    print("a daemon that is running uses the change after: ocrd restart")


@app.command()
def schema() -> None:
    """Print the JSON schema of the configuration file, for editors."""
    import json

    from ocrd.config.json_schema import editor_schema

    print(json.dumps(editor_schema(), indent=2, ensure_ascii=False))


def _file(config: Path | None) -> Path:
    """The configuration file that every command uses."""
    from ocrd import paths
    from ocrd.service.detect import default_config

    return (default_config(config) or paths.config_file()).absolute()


def _editor(environment: Mapping[str, str], file: Path) -> list[str]:
    """The user's editor and its arguments. No shell is involved.

    Raises:
        UsageError: No editor is set, or its command line is broken.
    """
    import shlex

    from ocrd.errors import UsageError

    for variable in ("VISUAL", "EDITOR"):
        try:
            command = shlex.split(environment.get(variable, ""))
        except ValueError as error:
            raise UsageError(f"{variable} is not a command line ({error}); correct it") from error
        if command:
            return command
    raise UsageError(
        f"no editor is set; set VISUAL or EDITOR, for example: EDITOR=nano ocrd config edit "
        f"(or open {file} yourself)"
    )
