"""The configuration file: TOML checked by pydantic, with errors that name file, key, value and what is allowed."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ocrd import paths
from ocrd.errors import ConfigError, UsageError
from ocrd.tasks import prompt_text

PINNED_REPO = "deepseek-ai/DeepSeek-OCR"
PINNED_REVISION = "1e3401a3d4603e9e71ea0ec850bfead602191ec4"
POCKET = "pocket"

Format = Literal["txt", "json", "md"]
COLOURS = {
    "none": 0,
    "grey": 1,
    "green": 2,
    "purple": 3,
    "blue": 4,
    "yellow": 5,
    "red": 6,
    "orange": 7,
}
"""Finder's own numbers."""
Colour = Literal["none", "grey", "green", "purple", "blue", "yellow", "red", "orange"]


class _Table(BaseModel):
    """Unknown keys are refused, so that a misspelt one is never silently ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _expanded(value: Path) -> Path:
    """``value`` with its ``~`` put in. Raises ValueError for what can be no path."""
    if "\0" in str(value):
        raise ValueError("must not hold a null character")
    try:
        return value.expanduser()
    except RuntimeError as error:  # ~somebody, who is not there
        raise ValueError("begins with the home of a user who is not there") from error


def _absolute(value: Path) -> Path:
    expanded = _expanded(value)
    if not expanded.is_absolute():
        raise ValueError("must be an absolute path or begin with ~")
    return expanded


class ModelConfig(_Table):
    path: str | None = None
    folder: Path | None = None
    # Both become names of folders: nothing that could lead out of them.
    repo: Annotated[
        str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,95}/[A-Za-z0-9][A-Za-z0-9_.-]{0,95}$")
    ] = PINNED_REPO
    revision: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,199}$")] = PINNED_REVISION

    @field_validator("folder")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return None if value is None else _absolute(value)

    @field_validator("path")
    @classmethod
    def _home_put_in(cls, value: str | None) -> str | None:
        return value if value in (None, POCKET) else str(_expanded(Path(str(value))))


class EngineConfig(_Table):
    device: Literal["auto", "mps", "cuda", "cpu"] = "auto"
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    mode: Literal["auto", "tiny", "small", "base", "large", "gundam"] = "auto"
    batch: Literal["auto"] | Annotated[int, Field(ge=1, le=8)] = "auto"
    skip_blank: bool = True
    max_new_tokens: Annotated[int, Field(ge=1, le=8192)] = 8192
    page_deadline: Annotated[float, Field(gt=0)] = 1800.0
    load_deadline: Annotated[float, Field(gt=0)] = 1800.0
    unload_after: Annotated[float, Field(ge=0)] = 0.0
    max_fallbacks: Annotated[int, Field(ge=1)] = 3
    cool_down: Annotated[float, Field(ge=0)] = 600.0
    memory_ceiling: Annotated[float | None, Field(gt=0)] = None
    memory_growth: Annotated[float, Field(gt=0)] = 6.0
    mps_fallback: bool = True
    # Never 0: torch's own documentation says of it that it may cause system failure.
    mps_high_watermark: Annotated[float, Field(gt=0, le=2)] = 1.0
    mps_low_watermark: Annotated[float, Field(gt=0, le=2)] = 0.9

    @model_validator(mode="after")
    def _marks_in_order(self) -> EngineConfig:
        if self.mps_low_watermark > self.mps_high_watermark:
            raise ValueError(
                "mps_low_watermark must not be above mps_high_watermark: torch refuses that"
            )
        return self


class DocumentsConfig(_Table):
    dpi: Annotated[int, Field(ge=50, le=1200)] = 200
    max_megabytes: Annotated[int, Field(ge=1)] = 2048
    max_megapixels: Annotated[int, Field(ge=1)] = 300


class LogConfig(_Table):
    level: Literal["debug", "info", "warning", "error"] = "info"
    max_megabytes: Annotated[int, Field(ge=1)] = 10
    keep: Annotated[int, Field(ge=1)] = 5


class Rules(_Table):
    """What becomes of a file."""

    settle: Annotated[float, Field(ge=0, le=3600)] = 2.0
    task: str = "text"
    formats: Annotated[tuple[Format, ...], Field(min_length=1)] = ("txt", "json")
    name: str = "{name}"
    on_done: tuple[str, ...] = ()
    on_failed: tuple[str, ...] = ()
    hook_seconds: Annotated[float, Field(gt=0, le=86_400)] = 60.0

    @field_validator("name")
    @classmethod
    def _known_template(cls, value: str) -> str:
        left = value.replace("{name}", "").replace("{stem}", "")
        if left == value or any(c in left for c in "{}/\\\0") or left.startswith("."):
            raise ValueError(
                "must hold {name} or {stem}, and no slash or other braces, and not begin with a dot"
            )
        return value

    @field_validator("task")
    @classmethod
    def _known_task(cls, value: str) -> str:
        try:
            prompt_text(value)
        except UsageError as error:
            raise ValueError(str(error)) from None
        return value

    @field_validator("formats")
    @classmethod
    def _with_json(cls, value: tuple[Format, ...]) -> tuple[Format, ...]:
        if len(set(value)) != len(value):
            raise ValueError("must not name a format twice")
        return value

    @field_validator("on_done", "on_failed")
    @classmethod
    def _command(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        # A service's PATH is not the terminal's: what runs by a bare name there may not be found here.
        if any("\0" in word for word in value):
            raise ValueError("must not hold a null character")
        return (str(_absolute(Path(value[0]))), *value[1:]) if value else value


class InboxConfig(Rules):
    path: Path = Path("~/OCR/inbox")
    settle: Annotated[float, Field(ge=0.1, le=3600)] = 2.0  # two looks need some time between them
    output: Path | None = None
    recursive: bool = True

    @field_validator("path", "output")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return None if value is None else _absolute(value)


class SubmitConfig(Rules):
    """For files that are read where they lie."""


class FinderConfig(_Table):
    tags: bool = True
    done_tag: str = "OCR"
    done_colour: Colour = "blue"
    failed_tag: str = "OCR failed"
    failed_colour: Colour = "red"
    notify: bool = False

    @field_validator("done_tag", "failed_tag")
    @classmethod
    def _one_line(cls, value: str) -> str:
        if not value.strip() or not value.isprintable():
            raise ValueError("must be a name in one line")
        return value

    @model_validator(mode="after")
    def _two_tags(self) -> FinderConfig:
        if self.done_tag == self.failed_tag:
            raise ValueError("done_tag and failed_tag must differ: each takes the other's place")
        return self


class PowerConfig(_Table):
    keep_awake: bool = True
    pause_on_battery: bool = False


class Config(_Table):
    model: ModelConfig = ModelConfig()
    engine: EngineConfig = EngineConfig()
    documents: DocumentsConfig = DocumentsConfig()
    log: LogConfig = LogConfig()
    finder: FinderConfig = FinderConfig()
    power: PowerConfig = PowerConfig()
    submit: SubmitConfig = SubmitConfig()
    inbox: Annotated[tuple[InboxConfig, ...], Field(min_length=1)] = (InboxConfig(),)

    @model_validator(mode="before")
    @classmethod
    def _default_inbox_expanded(cls, data: Any) -> Any:
        # Defaults are not validated by pydantic, so "~" would stay unexpanded.
        if isinstance(data, dict) and "inbox" not in data:
            return {**data, "inbox": [{"path": "~/OCR/inbox"}]}
        return data

    @model_validator(mode="after")
    def _inboxes_apart(self) -> Config:
        folders = [Path(os.path.realpath(inbox.path)) for inbox in self.inbox]
        for index, folder in enumerate(folders):
            for other in folders[:index]:
                if folder == other or folder in other.parents or other in folder.parents:
                    raise ValueError(
                        f"inbox: {other} and {folder} lie in each other; each file needs one inbox"
                    )
        return self


def load_config(path: Path | None = None) -> Config:
    """Read ``path``, or the usual place where a missing file means the defaults.

    Raises ConfigError when a named file is missing, is not TOML, or says something not allowed.
    """
    where = path or paths.config_file()
    try:
        data = tomllib.loads(where.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if path is not None:
            raise ConfigError(
                f"{where}: there is no such file; make one with: ocrd init --config {where}"
            ) from None
        data = {}
    except OSError as error:
        raise ConfigError(f"{where}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{where}: is not valid TOML ({error})") from error
    return parse_config(data, str(where))


def parse_config(data: dict[str, Any], where: str) -> Config:
    """Check parsed TOML. Raises ConfigError naming every key that is wrong; ``where`` names the file."""
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        raise ConfigError(f"{where}: " + "; ".join(_sentences(error))) from None


_TABLES: dict[str, type[BaseModel]] = {
    "model": ModelConfig,
    "engine": EngineConfig,
    "documents": DocumentsConfig,
    "log": LogConfig,
    "finder": FinderConfig,
    "power": PowerConfig,
    "submit": SubmitConfig,
    "inbox": InboxConfig,
}


def _sentences(error: ValidationError) -> list[str]:
    """One sentence for each thing that is wrong; what only follows from another is left out."""
    found: list[dict[str, Any]] = [dict(e) for e in error.errors()]
    # A list without its wrong entries is too short; that is not what the user has to mend.
    kept = [
        e for e in found
        if e["type"] != "too_short" or not any(o["loc"][: len(e["loc"])] == e["loc"] and o is not e for o in found)
    ]  # fmt: skip
    return [_sentence(e) for e in kept]


_IN_TOML = {
    "tuple_type": "must be a list, in brackets",
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
}
"""pydantic speaks of Python's types here, and our reader writes TOML."""


def _sentence(error: dict[str, Any]) -> str:
    key = ".".join(str(part) for part in error["loc"]) or "the file"
    given = error.get("input")
    if error["type"] == "extra_forbidden":
        table = _TABLES.get(str(error["loc"][0]), Config) if len(error["loc"]) > 1 else Config
        allowed = f" (allowed: {', '.join(table.model_fields)})"
        return f"unknown key {key}{allowed}"
    if key == "inbox" and isinstance(given, dict):
        return "inbox is one table, but there may be several: write [[inbox]] in place of [inbox]"
    message = _IN_TOML.get(error["type"], error["msg"].removeprefix("Value error, "))
    message = message[:1].lower() + message[1:]
    return f"{key} is {given!r}, but {message}" if error["loc"] else message


def is_managed(config: ModelConfig) -> bool:
    """Whether ocrd fetches and heals the model; a folder that the user named is only ever read."""
    return config.path is None


def models_folder(config: ModelConfig) -> Path:
    """Where managed models live."""
    return config.folder or paths.state_dir() / "models"


def model_dir(config: ModelConfig) -> Path:
    """The folder to load the model from."""
    if config.path == POCKET:
        return paths.POCKET_MODEL
    if config.path is not None:
        return Path(config.path)
    return models_folder(config) / config.repo.replace("/", "--") / config.revision
