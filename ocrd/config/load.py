"""Reading the configuration file."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ocrd import paths
from ocrd.config.errors import InvalidConfig, problems_of
from ocrd.config.renames import RENAMED, RenamedSetting, Renaming, replace_old_names
from ocrd.config.schema import Config
from ocrd.config.toml_text import toml_key
from ocrd.errors import ConfigError

# How tomllib shows a dotted key in a message: as Python's tuple of strings.
_KEY_IN_PYTHON = re.compile(r"""\((?:(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")(?:, |,)?)+\)""")

# tomllib's messages that do not say what the writer did.
_CLEARER = {
    "Cannot overwrite a value": "a key is given twice",
    r"Illegal character '\n'": "a string has no closing quote",
}


@dataclass(frozen=True)
class LoadedConfig:
    """A configuration and where it comes from.

    Attributes:
        config: The settings.
        path: The file.
        exists: Whether the file exists; without one the defaults apply.
        warnings: Settings that the file gives under old names.
    """

    config: Config
    path: Path
    exists: bool
    warnings: tuple[RenamedSetting, ...] = ()


def load_config(path: Path | None = None) -> Config:
    """Read the settings; see `read_config`.

    Raises:
        ConfigError: As `read_config`.
    """
    return read_config(path).config


def read_config(path: Path | None = None, *, renamed: Mapping[str, str] = RENAMED) -> LoadedConfig:
    """Read and check a configuration file.

    Args:
        path: The file. By default the usual place, where a missing file means the defaults.
        renamed: Old names that are still read, with their new ones.

    Raises:
        ConfigError: The file was named and is missing, or cannot be read, or is not TOML.
        InvalidConfig: It contains a setting that is not allowed.
    """
    where = path or paths.config_file()
    try:
        # "sig": Windows editors begin a file with a byte order mark.
        data = tomllib.loads(where.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        if path is not None:
            raise ConfigError(
                f"{where}: there is no such file; make one with: ocrd init --config {where}"
            ) from None
        return LoadedConfig(parse_config({}, str(where)), where, exists=False)
    except OSError as error:
        raise ConfigError(f"{where}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: is not valid TOML ({_syntax_error(error)})") from error
    renaming = replace_old_names(data, renamed)
    return LoadedConfig(
        _checked(renaming, str(where)), where, exists=True, warnings=renaming.warnings
    )


def log_warnings(loaded: LoadedConfig) -> None:
    """Write a warning for each old name into the log, which has to be configured before."""
    import structlog

    log = structlog.get_logger(component="config")
    for warning in loaded.warnings:
        log.warning(
            "a setting has a new name",
            old=warning.old,
            new=warning.new,
            file=str(loaded.path),
        )


def parse_config(data: dict[str, Any], where: str) -> Config:
    """Check a configuration that is already parsed.

    Args:
        data: What tomllib returns.
        where: The name of the file, for messages.

    Raises:
        InvalidConfig: It names every setting that is not allowed.
    """
    return _checked(replace_old_names(data), where)


def _checked(renaming: Renaming, where: str) -> Config:
    problems = list(renaming.problems)
    try:
        config = Config.model_validate(renaming.data)
    except ValidationError as error:
        problems += problems_of(error)
    if problems:
        raise InvalidConfig(where, problems) from None
    return config


def _syntax_error(error: ValueError | RecursionError) -> str:
    """What tomllib found, in TOML's words."""
    if isinstance(error, UnicodeDecodeError):
        line = error.object.count(b"\n", 0, error.start) + 1
        byte = error.object[error.start]
        return f"line {line} contains the byte 0x{byte:02x}, which is not UTF-8"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if not isinstance(error, tomllib.TOMLDecodeError):
        return "it contains a number with too many digits"
    message = _KEY_IN_PYTHON.sub(_key_in_toml, str(error))
    for theirs, ours in _CLEARER.items():
        message = message.replace(theirs, ours)
    return message[:1].lower() + message[1:]


def _key_in_toml(found: re.Match[str]) -> str:
    key: tuple[str, ...] = ast.literal_eval(found[0])
    return ".".join(toml_key(part) for part in key)
