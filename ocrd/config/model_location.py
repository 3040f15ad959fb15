"""Which folder the model is loaded from, and whether ocrd manages that folder."""

from __future__ import annotations

from pathlib import Path

from ocrd import paths
from ocrd.config.engine_schema import ModelConfig
from ocrd.config.values import POCKET


def is_managed(config: ModelConfig) -> bool:
    """Whether ocrd downloads and heals the model. A folder that the user named is only read."""
    return config.path is None


def models_folder(config: ModelConfig) -> Path:
    """The folder that contains the managed models."""
    return config.folder or paths.state_dir() / "models"


def model_dir(config: ModelConfig) -> Path:
    """The folder to load the model from."""
    if config.path == POCKET:
        return paths.POCKET_MODEL
    if config.path is not None:
        return Path(config.path)
    return models_folder(config) / config.repo.replace("/", "--") / config.revision
