"""What the code imports is what pyproject.toml declares, and the README gives the reasons."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# Packages whose import name is not their distribution's name.
DISTRIBUTION_OF = {"PIL": "pillow", "importlinter": "import-linter"}
OUR_PACKAGES = {"ocrd", "tests", "tools", "bench"}


def declared(requirements: Iterable[str]) -> set[str]:
    return {canonicalize_name(Requirement(line).name) for line in requirements}


def imported_modules(source: str) -> set[str]:
    """Top-level names of all absolute imports, also in functions and for the type checker."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            modules.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            modules.add(node.module.split(".")[0])
    return modules


def imported_distributions(*folders: str) -> set[str]:
    modules: set[str] = set()
    for folder in folders:
        for path in (ROOT / folder).rglob("*.py"):
            modules |= imported_modules(path.read_text(encoding="utf-8"))
    external = modules - sys.stdlib_module_names - OUR_PACKAGES
    return {canonicalize_name(DISTRIBUTION_OF.get(module, module)) for module in external}


def readme_dependencies(readme: str) -> set[str]:
    """Distributions named in the first column of the table whose first heading is "dependency"."""
    names: set[str] = set()
    in_table = False
    for line in readme.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.lstrip().startswith("|"):
            in_table = False
        elif cells[0].lower() == "dependency":
            in_table = True
        elif in_table:
            names.update(canonicalize_name(word) for word in re.findall(r"[\w.-]*\w", cells[0]))
    return names


def test_every_third_party_import_is_a_declared_dependency() -> None:
    undeclared = imported_distributions("ocrd") - declared(PROJECT["dependencies"])
    assert not undeclared, f"add to project.dependencies: {sorted(undeclared)}"


def test_every_declared_dependency_is_imported() -> None:
    unused = declared(PROJECT["dependencies"]) - imported_distributions("ocrd")
    assert not unused, f"ocrd imports none of these: {sorted(unused)}"


def test_what_tests_and_tools_import_is_declared_for_development() -> None:
    allowed = declared(PROJECT["dependencies"]) | declared(PROJECT["optional-dependencies"]["dev"])
    undeclared = imported_distributions("tests", "tools", "bench") - allowed
    assert not undeclared, f"add to the dev extra: {sorted(undeclared)}"


def test_every_declared_dependency_has_a_pinned_version_that_it_allows() -> None:
    pins = dict(
        line.split("==")
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    )
    versions = {canonicalize_name(name): version for name, version in pins.items()}
    for line in (*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]):
        requirement = Requirement(line)
        version = versions.get(canonicalize_name(requirement.name))
        assert version is not None, f"constraints.txt pins no {requirement.name}"
        assert requirement.specifier.contains(version), f"{line}: constraints.txt pins {version}"


def test_the_readme_gives_a_reason_for_every_dependency() -> None:
    named = readme_dependencies((ROOT / "README.md").read_text(encoding="utf-8"))
    unexplained = declared(PROJECT["dependencies"]) - named
    assert not unexplained, (
        f"the README's table of dependencies has no row for: {sorted(unexplained)}"
    )


@pytest.mark.parametrize(
    ("source", "modules"),
    [
        ("import numpy.linalg as la, os", {"numpy", "os"}),
        ("from huggingface_hub import errors", {"huggingface_hub"}),
        ("def later():\n    import torch", {"torch"}),
        ("from . import sibling", set()),
    ],
)
def test_imports_are_found_wherever_they_are_written(source: str, modules: set[str]) -> None:
    assert imported_modules(source) == modules
