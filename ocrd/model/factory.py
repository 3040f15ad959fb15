"""From the configuration to a healer: where the managed model is, and what it has to be."""

from __future__ import annotations

from pathlib import Path

from ocrd.config import POCKET, ModelConfig, is_managed, models_folder
from ocrd.errors import ConfigError
from ocrd.model.expected import expected_model
from ocrd.model.fetch_plan import HealRequest
from ocrd.model.hashes import HashCache
from ocrd.model.heal import Healer
from ocrd.model.hub import cache_folders
from ocrd.model.progress import ProgressMeter
from ocrd.model.storage import ModelStorage


def make_storage(model: ModelConfig) -> ModelStorage:
    """Return the paths of the managed model.

    Raises:
        ConfigError: Its folder overlaps with a cache of the same model.
    """
    hub_cache, modules_cache = cache_folders()
    storage = ModelStorage(
        models_folder(model), model.repo, model.revision, hub_cache, modules_cache
    )
    storage.check_overlap()
    return storage


def make_healer(
    model: ModelConfig,
    cache: HashCache,
    *,
    meter: ProgressMeter,
    reset: bool = False,
    source: Path | None = None,
) -> Healer:
    """Return a healer of the managed model.

    Args:
        model: The configuration.
        cache: Gets the hashes of the healed model.
        meter: Reports the progress.
        reset: Trust no copy on this machine, and remove every other one.
        source: Use only this copy, and no network.

    Raises:
        ConfigError: ocrd does not manage this model, so it cannot heal it.
    """
    if model.path == POCKET:
        raise ConfigError("the pocket model is a part of ocrd; if it is broken, reinstall ocrd")
    if not is_managed(model):
        raise ConfigError(
            f"model.path is {model.path}, a folder of yours, which ocrd does not change; remove "
            "model.path from the configuration, and ocrd manages a model of its own"
        )
    request = HealRequest(make_storage(model), reset, source)
    return Healer(request, expected_model(model), cache, meter)
