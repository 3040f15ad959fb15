"""The checkpoint's own modeling code, read as a syntax tree and never imported.

ocrd does not run it. It is examined because it tells revisions apart: the pinned one brings the
image features to the text embeddings' device and dtype before ``masked_scatter`` and calls no
``.cuda()``; the hub's main branch does neither, which is what dies on a Mac with ``masked_scatter
... got BFloat16 and Float``.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

FILE = "modeling_deepseekocr.py"
_SCATTERS = frozenset({"masked_scatter", "masked_scatter_"})
_BOTH = frozenset({"device", "dtype"})


@dataclass(frozen=True)
class Findings:
    """What the code does, by line numbers."""

    # Where image features are put among the text embeddings.
    scatters: tuple[int, ...]
    # Those of them that are not preceded by a conversion to the target's device and dtype.
    unconverted: tuple[int, ...]
    # Hard-coded ``.cuda()``.
    cuda: tuple[int, ...]

    @property
    def good(self) -> bool:
        return bool(self.scatters) and not self.unconverted and not self.cuda

    def __str__(self) -> str:
        said = []
        if not self.scatters:
            said.append("no masked_scatter")
        if self.unconverted:
            said.append(
                f"no device/dtype conversion before masked_scatter in line {_lines(self.unconverted)}"
            )
        if self.cuda:
            said.append(f".cuda() in line {_lines(self.cuda)}")
        return (
            "; ".join(said)
            or f"image features converted before masked_scatter in line {_lines(self.scatters)}"
        )


def examine(source: str) -> Findings:
    """Raises ValueError for what is not Python, or is nested as no program is."""
    try:
        return _findings(ast.parse(source))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"it is not Python ({type(error).__name__})") from error


def _findings(tree: ast.Module) -> Findings:
    scatters = set()
    unconverted = set()
    cuda = set()
    for scope in _scopes(tree):
        for call in _calls(scope):
            name = _method(call)
            if name == "cuda":
                cuda.add(call.lineno)
            elif name in _SCATTERS:
                scatters.add(call.lineno)
                if not _conversion(_source_of(call), scope, line=call.lineno) >= _BOTH:
                    unconverted.add(call.lineno)
    return Findings(tuple(sorted(scatters)), tuple(sorted(unconverted)), tuple(sorted(cuda)))


def _scopes(tree: ast.Module) -> Iterator[ast.AST]:
    """The functions, innermost ones apart from those around them; then what lies outside."""
    yield from (
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    yield tree


def _calls(scope: ast.AST) -> Iterator[ast.Call]:
    """The calls of one scope, not those of functions inside it."""
    waiting = list(ast.iter_child_nodes(scope))
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.Call):
            yield node
        waiting.extend(ast.iter_child_nodes(node))


def _method(call: ast.Call) -> str | None:
    return call.func.attr if isinstance(call.func, ast.Attribute) else None


def _source_of(call: ast.Call) -> ast.expr | None:
    """The second argument: x.masked_scatter(mask, source)."""
    by_name = next((k.value for k in call.keywords if k.arg == "source"), None)
    return by_name or (call.args[1] if len(call.args) > 1 else None)


def _conversion(source: ast.expr | None, scope: ast.AST, *, line: int) -> frozenset[str]:
    """Which of device and dtype ``source`` was brought to.

    In the call itself, or where its name was last assigned.
    """
    if source is None:
        return frozenset()
    found = _converted_in(source)
    if isinstance(source, ast.Name):
        earlier = [
            node for node in ast.walk(scope)
            if isinstance(node, ast.Assign) and node.lineno < line
            and any(isinstance(t, ast.Name) and t.id == source.id for t in node.targets)
        ]  # fmt: skip
        # A conversion may be spread over several assignments: x = x.to(device); x = x.to(dtype).
        for node in earlier:
            found |= _converted_in(node.value)
    return found


def _converted_in(expression: ast.expr) -> frozenset[str]:
    found: frozenset[str] = frozenset()
    for node in ast.walk(expression):
        if isinstance(node, ast.Call):
            name = _method(node)
            if name == "type_as":
                found |= _BOTH
            elif name == "to":
                found |= _to(node)
    return found


def _to(call: ast.Call) -> frozenset[str]:
    """What ``.to(...)`` changes.

    Each argument by its name or by how it ends; another tensor means both.
    """
    found = {str(k.arg) for k in call.keywords} & _BOTH
    for argument in call.args:
        spelt = ast.unparse(argument).lower()
        about = {what for what in _BOTH if what in spelt}
        found |= about or (
            set(_BOTH) if isinstance(argument, ast.Name | ast.Subscript | ast.Attribute) else set()
        )
    return frozenset(found)


def _lines(numbers: tuple[int, ...]) -> str:
    more = f" and {len(numbers) - 3} more" if len(numbers) > 3 else ""
    return ", ".join(str(n) for n in numbers[:3]) + more
