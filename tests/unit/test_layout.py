"""The tree of unit tests mirrors the tree of the source."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "tests/unit"
# Tests of something else than one module or package, and what that is.
OTHERS = {
    "daemon/test_submitted_files.py": "the rules for files from `ocrd submit`, across the daemon",
    "engine/grounding/test_parse_any_output.py": "parse.py, with random output of the model",
    "engine/test_decode_batch.py": "decode.py, with several pages at once",
    "engine/test_pocket_model.py": "ocrd/pocket: the model that ships",
    "engine/test_repetition_rescan.py": "repetition.py, compared with a rescan of all tokens",
    "fakes/test_launchctl.py": "tests/fakes/launchd: the commands",
    "fakes/test_launchd_start.py": "tests/fakes/launchd: when a service starts",
    "fakes/test_launchd_stop.py": "tests/fakes/launchd: how a service ends",
    "journal/test_journal.py": "ocrd/journal as a whole",
    "test_check_dist.py": "tools/check_dist.py",
    "test_check_platform.py": "tools/check_platform.py",
    "test_dependencies.py": "pyproject.toml and constraints.txt",
    "test_docs.py": "README.md and docs/",
    "test_homebrew_formula.py": "tools/homebrew_formula.py",
    "test_layers.py": "the layers in pyproject.toml",
    "test_layout.py": "this folder",
    "test_platforms.py": "tools/platforms.py",
    "test_public_api.py": "ocrd/__init__.py",
    "test_wheel.py": "the wheel",
    "tools/test_training.py": "tools/train_pocket.py and what it uses",
}
TESTS = sorted(path.relative_to(UNIT).as_posix() for path in UNIT.rglob("test_*.py"))


@pytest.mark.parametrize("name", [name for name in TESTS if name not in OTHERS])
def test_every_file_of_unit_tests_has_its_module_or_package(name: str) -> None:
    tested = name.replace("test_", "").removesuffix(".py")
    candidates = [ROOT / "ocrd" / tested, ROOT / tested]  # tools are beside ocrd
    assert any(path.with_suffix(".py").is_file() or path.is_dir() for path in candidates)


def test_the_list_of_other_tests_is_current() -> None:
    assert OTHERS.keys() <= set(TESTS)
