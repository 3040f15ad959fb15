"""The paths of a model never leave its folders, whatever the configuration and the disk contain."""

from __future__ import annotations

import contextlib
import string
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocrd.errors import ConfigError, ModelError
from ocrd.model.owned_path import OwnedPath
from ocrd.model.storage import ModelStorage
from tests.unit.model.user_home import (
    OTHER_FILES,
    REPO,
    REVISION,
    all_paths,
    create_other_files,
    make_storage,
)

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
NAMES = st.sampled_from([REPO, "a/b", "other/x", "..", "../..", "a/..", "home/letter"])
LINKS = ["models/a--b", "hub/models--a--b", "modules/transformers_modules/a", "modules/a"]


def allowed_paths(storage: ModelStorage) -> Iterator[OwnedPath]:
    """The paths whose names are allowed."""
    for name in ("installed", "staging", "replaced", "other_copies"):
        with contextlib.suppress(ModelError):
            found = getattr(storage, name)
            yield from found if isinstance(found, tuple) else (found,)


@settings(max_examples=300, deadline=None)
@given(
    repo=NAMES | st.tuples(HOSTILE, HOSTILE).map("/".join) | HOSTILE,
    revision=st.just(REVISION) | HOSTILE,
    links=st.sets(st.sampled_from(LINKS)),
)
def test_no_name_and_no_link_leads_out_of_the_models_folders(
    tmp_path_factory: pytest.TempPathFactory, repo: str, revision: str, links: set[str]
) -> None:
    root = tmp_path_factory.mktemp("machine")
    create_other_files(root)
    for link in links:
        (root / link).symlink_to(root / "home")
    paths = list(allowed_paths(make_storage(root, repo, revision=revision)))
    for owned in paths:
        with contextlib.suppress(OSError):
            owned.path.mkdir(parents=True, exist_ok=True)
    before = all_paths(root)
    for owned in paths:
        with contextlib.suppress(ModelError):
            owned.remove()
    removed = before - all_paths(root)
    # Only the model's own folders are removed, and nothing that a link leads to.
    assert all(any(Path(name).is_relative_to(owned.path) for owned in paths) for name in removed)
    kept = [root / name for name in OTHER_FILES if str(root / name) not in removed]
    assert all(path.read_text() == "mine" for path in kept)
    assert (root / "home/letter").read_text() == "mine"
    if repo == REPO and revision == REVISION:
        assert paths and not any(owned.exists() for owned in paths)


def test_the_copies_of_the_published_repository(tmp_path: Path) -> None:
    storage = make_storage(tmp_path)
    assert [str(copy.path.relative_to(tmp_path)) for copy in storage.other_copies] == [
        "hub/models--deepseek-ai--DeepSeek-OCR",
        "modules/transformers_modules/deepseek-ai/DeepSeek-OCR",
        "modules/transformers_modules/deepseek_hyphen_ai/DeepSeek_hyphen_OCR",
    ]


@pytest.mark.parametrize(
    "folder", ["hub/models--deepseek-ai--DeepSeek-OCR/mine", "modules/transformers_modules"]
)
def test_a_models_folder_inside_a_cache_of_the_same_model_is_refused(
    tmp_path: Path, folder: str
) -> None:
    hub = tmp_path / "hub"
    if "modules" in folder:  # the hub's cache is in the model's own folder
        hub = tmp_path / "a--b/hub"
        storage = ModelStorage(tmp_path, "a/b", REVISION, hub, tmp_path / "modules")
    else:
        storage = ModelStorage(tmp_path / folder, REPO, REVISION, hub, tmp_path / "modules")
    with pytest.raises(ConfigError, match=r"set model\.folder"):
        storage.check_overlap()
    make_storage(tmp_path).check_overlap()
