"""The kinds of value that settings have beyond TOML's own: paths, commands, templates, names.

Each type checks its values and carries two things into the JSON schema: ``ALLOWED``, the words for
what is allowed, which the error messages and the documentation use, and a pattern for editors,
where a pattern can express the rule.

A validator's message continues the sentence ``inbox[1].path is "scans"; ...``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from ocrd.errors import UsageError
from ocrd.tasks import LOCATE_PREFIX, PROMPT_PREFIX, PROMPTS, prompt_text

# The key of a JSON schema's node that says in words what is allowed there.
ALLOWED = "x-allowed"

# `model.path` for the small model that ships with ocrd.
POCKET = "pocket"

# Each colour's number in Finder.
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
Colour = Literal["none", "grey", "green", "purple", "blue", "yellow", "red", "orange"]

Format = Literal["txt", "json", "md"]


class Table(BaseModel):
    """A TOML table. It accepts no unknown keys, so that a misspelt one is never silently ignored.

    Values are not converted: text is not a number, even if it contains one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


_PATH = "an absolute path, or one that begins with ~"
_NAME = "[A-Za-z0-9][A-Za-z0-9_.-]"
_TASKS = ", ".join(f'"{task}"' for task in PROMPTS)


def _expand_home(path: Path) -> Path:
    """``path`` with its ``~`` replaced.

    Raises:
        ValueError: The path cannot exist on any system, or names a user who does not exist.
    """
    if "\0" in str(path):
        raise ValueError("it must not contain a null character")
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise ValueError("it begins with the home folder of a user who does not exist") from error


def _absolute(path: Path) -> Path:
    expanded = _expand_home(path)
    if not expanded.is_absolute():
        raise ValueError(f"it must be {_PATH}")
    return expanded


def _command(words: tuple[str, ...]) -> tuple[str, ...]:
    if any("\0" in word for word in words):
        raise ValueError("it must not contain a null character")
    if not words:
        return words
    # A service's PATH differs from the terminal's, so a bare name may not be found there.
    program = _expand_home(Path(words[0]))
    if not program.is_absolute():
        raise ValueError(f"its first entry, the program, must be {_PATH}")
    return (str(program), *words[1:])


def _model_path(value: str) -> str:
    return value if value == POCKET else str(_expand_home(Path(value)))


def _known_task(value: str) -> str:
    try:
        prompt_text(value)
    except UsageError as error:
        if value.startswith((LOCATE_PREFIX, PROMPT_PREFIX)) and value.partition(":")[2].strip():
            raise ValueError("its words must not contain the marks or tags of the model") from error
        raise ValueError(f"it must be {TASK_IN_WORDS}") from error
    return value


def _name_template(value: str) -> str:
    rest = value.replace("{name}", "").replace("{stem}", "")
    if rest == value or any(c in rest for c in "{}/\\\0") or rest.startswith("."):
        raise ValueError(f"it must be {TEMPLATE_IN_WORDS}")
    return value


def _tag(value: str) -> str:
    if not value.strip() or not value.isprintable():
        raise ValueError(f"it must be {TAG_IN_WORDS}")
    return value


def _no_format_twice(value: tuple[Format, ...]) -> tuple[Format, ...]:
    if len(set(value)) != len(value):
        raise ValueError("it must not contain a format twice")
    return value


TASK_IN_WORDS = f'{_TASKS}, "{LOCATE_PREFIX}WORDS" or "{PROMPT_PREFIX}WORDS"'
TEMPLATE_IN_WORDS = (
    "a name with {name} or {stem} in it, without slashes or other braces, "
    "that does not begin with a dot"
)
TAG_IN_WORDS = "a name in one line"

AbsolutePath = Annotated[
    Path,
    Field(strict=False, json_schema_extra={ALLOWED: _PATH, "pattern": "^[/~]"}),
    AfterValidator(_absolute),
]
ModelPath = Annotated[
    str,
    Field(json_schema_extra={ALLOWED: f'"{POCKET}", or the path of a folder'}),
    AfterValidator(_model_path),
]
Command = Annotated[
    tuple[str, ...],
    Field(
        strict=False,
        json_schema_extra={
            ALLOWED: "a list: a program's path, absolute or beginning with ~, and its arguments"
        },
    ),
    AfterValidator(_command),
]
Task = Annotated[
    str,
    Field(
        json_schema_extra={
            ALLOWED: TASK_IN_WORDS,
            "pattern": (
                f"^({'|'.join(PROMPTS)}|({LOCATE_PREFIX}|{PROMPT_PREFIX})[\\s\\S]*\\S[\\s\\S]*)$"
            ),
        }
    ),
    AfterValidator(_known_task),
]
NameTemplate = Annotated[
    str,
    Field(json_schema_extra={ALLOWED: TEMPLATE_IN_WORDS, "pattern": r"\{(name|stem)\}"}),
    AfterValidator(_name_template),
]
TagName = Annotated[str, Field(json_schema_extra={ALLOWED: TAG_IN_WORDS}), AfterValidator(_tag)]
Formats = Annotated[
    tuple[Format, ...],
    Field(strict=False, min_length=1, json_schema_extra={"uniqueItems": True}),
    AfterValidator(_no_format_twice),
]
# Both become names of folders, so neither may contain anything that leads out of one.
RepoName = Annotated[
    str,
    Field(
        pattern=f"^{_NAME}{{0,95}}/{_NAME}{{0,95}}$",
        json_schema_extra={
            ALLOWED: 'an owner and a name such as "deepseek-ai/DeepSeek-OCR": letters, digits, '
            "dots, dashes and underscores, beginning with a letter or digit"
        },
    ),
]
RevisionName = Annotated[
    str,
    Field(
        pattern=f"^{_NAME}{{0,199}}$",
        json_schema_extra={
            ALLOWED: "a commit, branch or tag: letters, digits, dots, dashes and underscores, "
            "beginning with a letter or digit"
        },
    ),
]

assert set(get_args(Colour)) == set(COLOURS)
