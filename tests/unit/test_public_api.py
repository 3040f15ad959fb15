"""`import ocrd` is the public API: cheap to import, typed, and its documented examples run."""

from __future__ import annotations

import ast
import contextlib
import doctest
import io
import re
import subprocess
import sys
from pathlib import Path
from typing import assert_type

import pytest

import ocrd

ROOT = Path(__file__).parents[2]
CODE_BLOCK = re.compile(r"```(python|text)\n(.*?)```", re.DOTALL)
MAX_IMPORT_S = 0.020

MEASURE_IMPORT = """
import sys, time
started = time.perf_counter()
import ocrd
seconds = time.perf_counter() - started
heavy = {"torch", "transformers", "numpy", "PIL", "pydantic", "structlog"} & set(sys.modules)
print(seconds, *heavy)
"""


def test_importing_it_is_fast_and_imports_nothing_heavy() -> None:
    seconds: list[float] = []
    for _ in range(5):  # the fastest counts, because other processes may slow down the others
        completed = subprocess.run(
            [sys.executable, "-c", MEASURE_IMPORT], capture_output=True, text=True, check=True
        )
        taken, *heavy = completed.stdout.split()
        assert heavy == []
        seconds.append(float(taken))
    assert min(seconds) < MAX_IMPORT_S


@pytest.mark.parametrize("name", ocrd.__all__)
def test_every_public_name_exists_and_is_listed(name: str) -> None:
    assert getattr(ocrd, name) is not None
    assert name in dir(ocrd)


def test_type_checkers_and_python_import_the_same_names() -> None:
    tree = ast.parse((ROOT / "ocrd/__init__.py").read_text(encoding="utf-8"))
    [for_type_checkers] = [
        node
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    imported = {
        alias.name: node.module
        for node in for_type_checkers.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert imported == ocrd._MODULES
    assert {*imported, "__version__"} == set(ocrd.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'ocrd' has no attribute 'Tesseract'"):
        ocrd.Tesseract  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(ImportError):
        exec("from ocrd import Tesseract")


def test_the_names_are_typed() -> None:
    assert_type(ocrd.__version__, str)
    assert_type(ocrd.Block("text").text, str)
    assert ocrd.__version__


def test_the_example_in_the_docstring_runs() -> None:
    [example] = doctest.DocTestFinder(recurse=False).find(ocrd, "ocrd")
    output = io.StringIO()
    runner = doctest.DocTestRunner()
    result = runner.run(example, out=output.write)
    assert result.attempted >= 3 and result.failed == 0, output.getvalue()


def test_the_examples_in_the_documentation_print_what_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs/python-api.md").read_text(encoding="utf-8")
    blocks = CODE_BLOCK.findall(page)
    assert len(blocks) >= 8
    namespace: dict[str, object] = {}
    for (language, code), (next_language, expected) in zip(blocks[::2], blocks[1::2], strict=True):
        assert (language, next_language) == ("python", "text")
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, namespace)
        assert printed.getvalue() == expected
