"""The distributions are complete. `make dist` also installs them elsewhere and runs them."""

from __future__ import annotations

from email.message import Message
from pathlib import Path

import pytest

from tools.check_dist import (
    REQUIRED_METADATA,
    ROOT,
    DistributionError,
    archived_files,
    build,
    check_rebuilt,
    file_list_problems,
    metadata_problems,
    tracked_files,
    wheel_metadata,
)

pytestmark = pytest.mark.slow


def test_the_source_distribution_is_complete_and_builds_the_same_wheel(tmp_path: Path) -> None:
    sdist, wheel = build(ROOT, tmp_path / "dist")
    assert not metadata_problems(wheel_metadata(wheel))
    archived = archived_files(sdist)
    assert {"Makefile", "constraints.txt", "PKG-INFO", "tests/conftest.py"} <= archived
    if (ROOT / ".git").exists():  # not where the tests run from an unpacked source distribution
        assert {name for name in tracked_files() if (ROOT / name).exists()} <= archived
    (tmp_path / "source").mkdir()
    check_rebuilt(sdist, wheel, folder=tmp_path / "source")


def test_another_wheel_from_the_source_distribution_is_noticed(tmp_path: Path) -> None:
    project = _small_project(tmp_path / "project")
    (sdist,) = build(project, tmp_path / "dist", targets=["sdist"])
    (project / "small" / "later.py").touch()
    (wheel,) = build(project, tmp_path / "dist", targets=["wheel"])
    (tmp_path / "source").mkdir()
    with pytest.raises(DistributionError, match=r"builds another wheel.*small/later\.py"):
        check_rebuilt(sdist, wheel, folder=tmp_path / "source")


def _small_project(folder: Path) -> Path:
    (folder / "small").mkdir(parents=True)
    (folder / "small" / "__init__.py").touch()
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        '[project]\nname = "small"\nversion = "1"\n'
    )
    return folder


def test_a_missing_file_and_an_untracked_file_are_named() -> None:
    problems = file_list_problems({"PKG-INFO", "kept.py", "stray.py"}, {"kept.py", "lost.py"})
    assert problems == [
        "the source distribution lacks lost.py",
        "the source distribution holds stray.py, which git does not track: commit it or remove it",
    ]


def test_a_missing_field_of_the_metadata_is_named() -> None:
    metadata = Message()
    for field in set(REQUIRED_METADATA) - {"Summary"}:
        metadata[field] = "given"
    metadata.set_payload("\n")
    assert metadata_problems(metadata) == [
        "the metadata has no Summary",
        "the metadata has no description",
    ]
