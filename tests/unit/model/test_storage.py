"""Only what belongs to the model is ever removed, whatever stands in the configuration, the
environment or the disk.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import string
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocrd.errors import ConfigError, ModelError
from ocrd.model.owned_path import OwnedPath
from ocrd.model.storage import ModelStorage

REPO = "deepseek-ai/DeepSeek-OCR"
REVISION = "1e3401a3d4603e9e71ea0ec850bfead602191ec4"
HOSTILE = st.sampled_from(
    [
        "",
        ".",
        "..",
        "/",
        "~",
        "../..",
        "a/b",
        "a/../..",
        "\0",
        "..\\..",
        "-rf",
        "*",
        "x\n",
        "é",
        "models",
        "x~new",
    ]
) | st.text(alphabet=string.printable + "é\0", max_size=12)


def storage(root: Path, repo: str = REPO, *, revision: str = REVISION) -> ModelStorage:
    return ModelStorage(root / "store", repo, revision, root / "hub", root / "modules")


def everything(root: Path) -> set[str]:
    return {
        str(Path(folder, name))
        for folder, *names in os.walk(root)
        for group in names
        for name in group
    }


FURNITURE = (
    "store/other/x",
    "hub/models--other--y/blobs/y",
    "modules/transformers_modules/z",
    "home/letter",
)


def furnish(root: Path) -> None:
    """A home with things in it that are nobody's model."""
    for name in FURNITURE:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("mine")


def own(found: ModelStorage) -> list[Path]:
    return [p.path for p in (found.installed, found.staging, found.replaced, *found.other_copies)]


NAMES = st.sampled_from([REPO, "a/b", "other/x", "..", "../..", "a/..", "home/letter"])
LINKS = ["store/a--b", "hub/models--a--b", "modules/transformers_modules/a", "modules/a"]


def all_storage(found: ModelStorage) -> Iterator[OwnedPath]:
    """Those that the names allow."""
    for name in ("installed", "staging", "replaced", "other_copies"):
        with contextlib.suppress(ModelError):
            place = getattr(found, name)
            yield from place if isinstance(place, tuple) else (place,)


@settings(max_examples=300, deadline=None)
@given(
    repo=NAMES | st.tuples(HOSTILE, HOSTILE).map("/".join) | HOSTILE,
    revision=st.just(REVISION) | HOSTILE,
    links=st.sets(st.sampled_from(LINKS)),
)
def test_no_name_and_no_link_leads_out_of_the_models_own_folders(
    tmp_path_factory: pytest.TempPathFactory, repo: str, revision: str, links: set[str]
) -> None:
    root = tmp_path_factory.mktemp("machine")
    furnish(root)
    for link in links:
        (root / link).symlink_to(root / "home")
    found = list(all_storage(storage(root, repo, revision=revision)))
    for place in found:
        with contextlib.suppress(OSError):
            place.path.mkdir(parents=True, exist_ok=True)
    before = everything(root)
    for place in found:
        with contextlib.suppress(ModelError):
            place.remove()
    gone = before - everything(root)
    # Nothing went but the model's own folders and what is in them, and what a link leads to is all
    # there.
    assert all(any(Path(name).is_relative_to(place.path) for place in found) for name in gone)
    assert all(
        (root / name).read_text() == "mine" for name in FURNITURE if str(root / name) not in gone
    )
    assert (root / "home/letter").read_text() == "mine"
    if repo == REPO and revision == REVISION:
        assert found and not any(place.exists() for place in found)


@pytest.mark.parametrize(
    "parts",
    [
        (),
        ("..",),
        (".",),
        ("a", ".."),
        ("a/b",),
        ("",),
        ("/etc",),
        (".hidden",),
        ("a\0",),
        ("a\n",),
    ],
)
def test_a_place_needs_plain_names(tmp_path: Path, parts: tuple[str, ...]) -> None:
    with pytest.raises(ModelError, match="name"):
        OwnedPath(tmp_path, parts)


def test_a_place_needs_an_absolute_root() -> None:
    with pytest.raises(ModelError, match="absolute"):
        OwnedPath(Path("models"), ("x",))


def test_only_its_own_folders_go_and_all_of_them(tmp_path: Path) -> None:
    furnish(tmp_path)
    before = everything(tmp_path)
    found = storage(tmp_path)
    for path in own(found):
        path.mkdir(parents=True, exist_ok=True)
        (path / "weights").write_text("x")
    for place in (found.installed, found.staging, found.replaced, *found.other_copies):
        place.remove()
        place.remove()  # again: nothing happens
        assert not place.exists()
    assert {p for p in everything(tmp_path) if Path(p).is_file()} == {
        p for p in before if Path(p).is_file()
    }


def test_where_the_published_repository_leaves_its_copies(tmp_path: Path) -> None:
    found = storage(tmp_path)
    assert [str(p.path.relative_to(tmp_path)) for p in found.other_copies] == [
        "hub/models--deepseek-ai--DeepSeek-OCR",
        "modules/transformers_modules/deepseek-ai/DeepSeek-OCR",
        "modules/transformers_modules/deepseek_hyphen_ai/DeepSeek_hyphen_OCR",
    ]


def test_a_link_is_removed_and_what_it_points_to_is_not(tmp_path: Path) -> None:
    furnish(tmp_path)
    found = storage(tmp_path)
    found.hub_copy.path.symlink_to(tmp_path / "home")
    inside = found.installed.path
    inside.mkdir(parents=True)
    (inside / "link").symlink_to(tmp_path / "home")
    found.hub_copy.remove()
    found.installed.remove()
    assert not found.hub_copy.exists() and (tmp_path / "home/letter").read_text() == "mine"


def test_nothing_is_removed_behind_a_link(tmp_path: Path) -> None:
    """The repository's folder in the store is a link to somewhere else, which has a folder of
    just that name.
    """
    found = storage(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / REVISION).mkdir(parents=True)
    found.models_folder.mkdir()
    found.repo_folder.symlink_to(elsewhere)
    with pytest.raises(ModelError, match="through a link"):
        found.installed.remove()
    assert (elsewhere / REVISION).is_dir()


def test_a_root_that_is_a_link_is_the_users_choice(tmp_path: Path) -> None:
    (tmp_path / "big-disk").mkdir()
    found = storage(tmp_path)
    found.models_folder.symlink_to(tmp_path / "big-disk")
    found.installed.path.mkdir(parents=True)
    found.installed.remove()
    assert not found.installed.exists() and (tmp_path / "big-disk").is_dir()


@pytest.mark.parametrize(
    "home", ["models--deepseek-ai--DeepSeek-OCR", "models--deepseek-ai--DeepSeek-OCR/me/x"]
)
def test_the_home_folder_and_what_holds_it_are_never_removed(
    tmp_path: Path, home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hub" / home).mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "hub" / home))
    with pytest.raises(ModelError, match="home folder"):
        storage(tmp_path).hub_copy.remove()
    assert (tmp_path / "hub" / home).is_dir()


def test_what_cannot_be_removed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = storage(tmp_path)
    found.installed.path.mkdir(parents=True)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(shutil, "rmtree", refuse)
    with pytest.raises(
        ModelError, match=f"{REVISION} cannot be removed .Permission denied.; remove it by hand"
    ):
        found.installed.remove()


@pytest.mark.parametrize(
    "store", ["hub/models--deepseek-ai--DeepSeek-OCR/mine", "modules/transformers_modules"]
)
def test_a_store_inside_a_cache_of_the_same_model_is_refused(tmp_path: Path, store: str) -> None:
    repo = "transformers_modules/x" if "modules" in store else REPO
    found = ModelStorage(tmp_path / store, repo, REVISION, tmp_path / "hub", tmp_path / "modules")
    if "modules" in store:  # the cache of code lies in the model's own folder
        found = ModelStorage(tmp_path, "a/b", REVISION, tmp_path / "a--b/hub", tmp_path / "modules")
    with pytest.raises(ConfigError, match=r"set model\.folder"):
        found.check_overlap()
    storage(tmp_path).check_overlap()


def test_a_file_where_the_cache_should_be_holds_nothing_of_ours(tmp_path: Path) -> None:
    (tmp_path / "hub").write_text("mine")
    storage(tmp_path).hub_copy.remove()
    assert (tmp_path / "hub").read_text() == "mine"


def test_folders_that_nobody_may_write_are_opened_before_they_are_emptied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = storage(tmp_path).installed.path / "inner"
    inner.mkdir(parents=True)
    for folder in (inner, inner.parent):
        folder.chmod(0o500)
    modes: list[int] = []
    real = shutil.rmtree

    def look(name: str, dir_fd: int) -> None:
        modes.extend(stat.S_IMODE(folder.stat().st_mode) for folder in (inner, inner.parent))
        real(name, dir_fd=dir_fd)

    monkeypatch.setattr(shutil, "rmtree", look)  # root may empty them anyway
    storage(tmp_path).installed.remove()
    assert modes == [0o700, 0o700]


def test_its_size_counts_what_would_be_freed(tmp_path: Path) -> None:
    found = storage(tmp_path)
    found.installed.path.mkdir(parents=True)
    (found.installed.path / "weights").write_bytes(b"x" * 100_000)
    assert found.installed.removable_bytes() >= 100_000
    os.link(found.installed.path / "weights", tmp_path / "second name")
    assert found.installed.removable_bytes() == 0
