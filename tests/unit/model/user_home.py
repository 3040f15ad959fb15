"""A user's home with a model's folders, and files that belong to no model."""

from __future__ import annotations

import os
from pathlib import Path

from ocrd.model.owned_path import OwnedPath
from ocrd.model.storage import ModelStorage

REPO = "deepseek-ai/DeepSeek-OCR"
REVISION = "1e3401a3d4603e9e71ea0ec850bfead602191ec4"
OTHER_FILES = (
    "models/other/x",
    "hub/models--other--y/blobs/y",
    "modules/transformers_modules/z",
    "home/letter",
)


def make_storage(root: Path, repo: str = REPO, *, revision: str = REVISION) -> ModelStorage:
    return ModelStorage(root / "models", repo, revision, root / "hub", root / "modules")


def all_paths(root: Path) -> set[str]:
    return {
        str(Path(folder, name))
        for folder, folders, files in os.walk(root)
        for name in (*folders, *files)
    }


def create_other_files(root: Path) -> None:
    """Create files that belong to no model."""
    for name in OTHER_FILES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("mine")


def removable(storage: ModelStorage) -> list[OwnedPath]:
    return [storage.installed, storage.staging, storage.replaced, *storage.other_copies]
