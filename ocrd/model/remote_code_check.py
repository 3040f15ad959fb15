"""Check the checkpoint's own modeling code. It is read as a syntax tree and never imported.

ocrd does not run this code, but the code tells revisions apart. The pinned revision moves the image
features to the device and dtype of the text embeddings before ``masked_scatter`` and calls no
``.cuda()``. The hub's main branch does neither, and fails on a Mac with ``masked_scatter ... got
BFloat16 and Float``.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

MODELING_FILE = "modeling_deepseekocr.py"

_SCATTER_METHODS = frozenset({"masked_scatter", "masked_scatter_"})
_DEVICE_AND_DTYPE = frozenset({"device", "dtype"})
_LINES_NAMED = 3


@dataclass(frozen=True)
class Findings:
    """What the code does, by line numbers.

    Attributes:
        scatters: Where image features are put among the text embeddings.
        unconverted: The scatters without a conversion to the target's device and dtype.
        cuda_calls: Hard-coded calls of ``.cuda()``.
    """

    scatters: tuple[int, ...]
    unconverted: tuple[int, ...]
    cuda_calls: tuple[int, ...]

    @property
    def good(self) -> bool:
        """Whether the code runs on every device."""
        return bool(self.scatters) and not self.unconverted and not self.cuda_calls

    def __str__(self) -> str:
        problems = []
        if not self.scatters:
            problems.append("no masked_scatter")
        if self.unconverted:
            lines = _format_lines(self.unconverted)
            problems.append(f"no device/dtype conversion before masked_scatter in line {lines}")
        if self.cuda_calls:
            problems.append(f".cuda() in line {_format_lines(self.cuda_calls)}")
        if problems:
            return "; ".join(problems)
        lines = _format_lines(self.scatters)
        return f"image features converted before masked_scatter in line {lines}"


def examine(source: str) -> Findings:
    """Examine Python code.

    Raises:
        ValueError: It is not Python, or is nested deeper than any real program.
    """
    try:
        return _examine_tree(ast.parse(source))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"it is not Python ({type(error).__name__})") from error


def _examine_tree(tree: ast.Module) -> Findings:
    scatters = set()
    unconverted = set()
    cuda_calls = set()
    for scope in _scopes(tree):
        for call in _calls(scope):
            method = _method_name(call)
            if method == "cuda":
                cuda_calls.add(call.lineno)
            elif method in _SCATTER_METHODS:
                scatters.add(call.lineno)
                converted = _conversions(_scatter_source(call), scope, before_line=call.lineno)
                if not converted >= _DEVICE_AND_DTYPE:
                    unconverted.add(call.lineno)
    return Findings(tuple(sorted(scatters)), tuple(sorted(unconverted)), tuple(sorted(cuda_calls)))


def _scopes(tree: ast.Module) -> Iterator[ast.AST]:
    """Every function, then the module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
    yield tree


def _calls(scope: ast.AST) -> Iterator[ast.Call]:
    """The calls of one scope, without those of the functions inside it."""
    nodes = list(ast.iter_child_nodes(scope))
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.Call):
            yield node
        nodes.extend(ast.iter_child_nodes(node))


def _method_name(call: ast.Call) -> str | None:
    return call.func.attr if isinstance(call.func, ast.Attribute) else None


def _scatter_source(call: ast.Call) -> ast.expr | None:
    """The second argument of ``x.masked_scatter(mask, source)``."""
    for keyword in call.keywords:
        if keyword.arg == "source":
            return keyword.value
    return call.args[1] if len(call.args) > 1 else None


def _conversions(source: ast.expr | None, scope: ast.AST, *, before_line: int) -> frozenset[str]:
    """Which of device and dtype ``source`` is converted to.

    In the call itself, or in an earlier assignment to its name. A conversion may be spread over
    several assignments: ``x = x.to(device); x = x.to(dtype)``.
    """
    if source is None:
        return frozenset()
    found = _conversions_in(source)
    if isinstance(source, ast.Name):
        for node in ast.walk(scope):
            if isinstance(node, ast.Assign) and node.lineno < before_line:
                names = {target.id for target in node.targets if isinstance(target, ast.Name)}
                if source.id in names:
                    found |= _conversions_in(node.value)
    return found


def _conversions_in(expression: ast.expr) -> frozenset[str]:
    found: frozenset[str] = frozenset()
    for node in ast.walk(expression):
        if not isinstance(node, ast.Call):
            continue
        method = _method_name(node)
        if method == "type_as":
            found |= _DEVICE_AND_DTYPE
        elif method == "to":
            found |= _conversions_of_to(node)
    return found


def _conversions_of_to(call: ast.Call) -> frozenset[str]:
    """What ``.to(...)`` changes, by the text of its arguments; another tensor means both."""
    found = {str(keyword.arg) for keyword in call.keywords} & _DEVICE_AND_DTYPE
    for argument in call.args:
        text = ast.unparse(argument).lower()
        named = {what for what in _DEVICE_AND_DTYPE if what in text}
        if named:
            found |= named
        elif isinstance(argument, ast.Name | ast.Subscript | ast.Attribute):
            found |= _DEVICE_AND_DTYPE
    return frozenset(found)


def _format_lines(numbers: tuple[int, ...]) -> str:
    text = ", ".join(str(number) for number in numbers[:_LINES_NAMED])
    more = len(numbers) - _LINES_NAMED
    return f"{text} and {more} more" if more > 0 else text
