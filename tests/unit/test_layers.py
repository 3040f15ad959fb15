"""The layers of docs/architecture.md hold, and the parent's modules stay free of torch."""

from __future__ import annotations

from pathlib import Path

from importlinter.cli import lint_imports

ROOT = Path(__file__).parents[2]


def test_a_module_imports_only_from_lower_layers() -> None:
    assert lint_imports(config_filename=str(ROOT / "pyproject.toml")) == 0
