"""What the documentation names exists: links, files, modules, commands, options, packages."""

from __future__ import annotations

import importlib.util
import re
import sys
import tomllib
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "launchd").glob("*.md"),
    ]
)
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
FOLDERS = ("ocrd", "docs", "tests", "tools", "bench", "launchd", "systemd")

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
SPAN = re.compile(r"`([^`\n]+)`")
MODULE = re.compile(r"python -m ((?:tools|bench|tests)(?:\.\w+)+)")
COMMAND = re.compile(r"(?:^|[\s;$/])ocrd((?: +[a-z]+)*)((?: +\S+)*)")
OPTION = re.compile(r"(?<![\w-])(--[a-z-]+|-[a-z])\b")


class Call(NamedTuple):
    """One ``ocrd ...`` in the documentation."""

    words: tuple[str, ...]
    options: tuple[str, ...]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def code_of(text: str) -> list[str]:
    """Code spans, and the lines of code blocks without their comments."""
    spans: list[str] = SPAN.findall(text)
    blocks = [line.strip().split("  #")[0] for line in text.splitlines() if line.startswith("    ")]
    return spans + [line for line in blocks if not line.startswith("#")]


def calls_of(text: str) -> list[Call]:
    calls = []
    for code in code_of(text):
        for words, rest in COMMAND.findall(code):
            options = tuple(OPTION.findall(rest.split("|")[0].split(";")[0]))
            if words or options:
                calls.append(Call(tuple(words.split()), options))
    return calls


@cache
def help_of(words: tuple[str, ...]) -> str | None:
    """What ``ocrd WORDS --help`` prints; None if there is no such command."""
    from contextlib import redirect_stderr, redirect_stdout
    from io import StringIO

    from ocrd.__main__ import main

    output = StringIO()
    argv = sys.argv
    sys.argv = ["ocrd", *words, "--help"]
    try:
        with redirect_stdout(output), redirect_stderr(output):
            main()
    except SystemExit as end:
        return output.getvalue() if end.code == 0 else None
    finally:
        sys.argv = argv
    return output.getvalue()


def command_of(words: tuple[str, ...]) -> tuple[str, ...]:
    """The command without the words that follow it: ``model verify``, ``status``."""
    help_text = help_of(words[:1]) or ""
    return words[:2] if "COMMAND [ARGS]" in help_text else words[:1]


def settings_of(example: str) -> set[str]:
    """``section.key`` for each key of the example file, those in comments included."""
    settings = set()
    section = ""
    for line in example.splitlines():
        if heading := re.match(r"\[+(\w+)\]+", line):
            section = heading[1]
        elif key := re.match(r"(?:# ?)?(\w+) = ", line):
            settings.add(f"{section}.{key[1]}")
    return settings


@pytest.mark.parametrize("name", NAMES)
def test_every_relative_link_leads_to_a_file(name: str) -> None:
    folder = (ROOT / name).parent
    links = [link.split("#")[0] for link in LINK.findall(read(name)) if "://" not in link]
    assert [link for link in links if link and not (folder / link).exists()] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_file_that_is_named_exists(name: str) -> None:
    paths = [span for span in SPAN.findall(read(name)) if span.split("/")[0] in FOLDERS]
    paths = [path for path in paths if "/" in path and re.fullmatch(r"[\w./-]+", path)]
    assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("name", ["docs/architecture.md", "docs/engine.md"])
def test_every_module_that_is_named_without_its_folder_exists(name: str) -> None:
    modules = {path.name for path in (ROOT / "ocrd").rglob("*.py")}
    named = {span for span in SPAN.findall(read(name)) if re.fullmatch(r"\w+\.py", span)}
    assert sorted(named - modules) == []


@pytest.mark.parametrize("name", NAMES)
def test_every_module_that_is_run_exists(name: str) -> None:
    modules = MODULE.findall(read(name))
    assert [module for module in modules if importlib.util.find_spec(module) is None] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_command_that_is_named_exists_with_its_options(name: str) -> None:
    wrong = []
    for call in calls_of(read(name)):
        help_text = help_of(command_of(call.words))
        if help_text is None:
            wrong.append(f"ocrd {' '.join(call.words)}")
            continue
        wrong += [
            f"ocrd {' '.join(call.words)} {option}"
            for option in call.options
            if not re.search(rf"(?<![\w-]){option}\b", help_text)
        ]
    assert wrong == []


def test_every_command_is_described_with_options_that_it_has() -> None:
    described = {}
    for row in read("docs/usage.md").splitlines():
        cells = row.split("|")
        if len(cells) == 4 and "`ocrd " in cells[1]:
            for call in calls_of(cells[1]):
                described[command_of(call.words)] = OPTION.findall(" ".join(SPAN.findall(cells[2])))
    for words, options in described.items():
        help_text = help_of(words) or ""
        assert [o for o in options if o not in help_text] == [], words
    commands = {word for words in described for word in words}
    listed = re.findall(r"^  ([a-z]+)  ", help_of(()) or "", re.MULTILINE)
    assert listed
    assert sorted(set(listed) - commands) == []


def test_every_package_is_described_in_the_architecture() -> None:
    text = read("docs/architecture.md")
    packages = [path.parent.relative_to(ROOT) for path in (ROOT / "ocrd").rglob("__init__.py")]
    assert len(packages) > 10
    inner = [str(package) for package in packages if str(package) != "ocrd"]
    assert [package for package in inner if f"`{package}/" not in text] == []


def test_the_readme_gives_a_reason_for_every_dependency() -> None:
    project = tomllib.loads(read("pyproject.toml"))["project"]
    names = [re.split(r"[^\w.-]", dependency)[0] for dependency in project["dependencies"]]
    table = read("README.md").split("| dependency |")[1].split("\n\n")[0].lower()
    first_cells = " ".join(row.split("|")[1] for row in table.splitlines() if row.count("|") > 2)
    words = set(re.findall(r"[\w.-]+", first_cells))
    assert sorted({name.lower() for name in names} - words) == []


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_that_is_named_exists(name: str) -> None:
    settings = settings_of(read("config.example.toml"))
    sections = {setting.split(".")[0] for setting in settings}
    named = re.findall(r"`(\w+\.\w+)(?: = [^`]*)?`", read(name))
    assert len(settings) > 40
    unknown = {s for s in named if s.split(".")[0] in sections and s not in settings}
    assert sorted(s for s in unknown if s.split(".")[1] not in ("py", "toml", "json")) == []


def test_the_layers_are_those_of_the_contract() -> None:
    contract = tomllib.loads(read("pyproject.toml"))["tool"]["importlinter"]["contracts"][0]
    layers = [layer.replace("ocrd.", "") for layer in contract["layers"]]
    section = read("docs/architecture.md").split("## Layers")[1].split("\n## ")[0]
    assert [line.strip() for line in section.splitlines() if line.startswith("    ")] == layers


@pytest.mark.parametrize("name", NAMES)
def test_every_make_target_that_is_named_exists(name: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE))
    code = "\n".join(code_of(read(name)))
    named = set(re.findall(r"\bmake ([a-z-]+)", code))
    assert sorted(named - targets) == []
