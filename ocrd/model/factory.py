"""From the configuration to a healer: where the managed model lives, and what it must be."""

from __future__ import annotations

from pathlib import Path

from ocrd.config import POCKET, ModelConfig, is_managed, models_folder
from ocrd.errors import ConfigError
from ocrd.model.fetch_plan import HealRequest
from ocrd.model.hashes import HashMemory
from ocrd.model.heal import Healer
from ocrd.model.hub import cache_folders
from ocrd.model.progress import Meter
from ocrd.model.storage import ModelStorage
from ocrd.model.verify import wanted_by


def places_of(model: ModelConfig) -> ModelStorage:
    """Raises ConfigError when its folder mixes with a cache of the same model."""
    hub_cache, modules_cache = cache_folders()
    places = ModelStorage(
        models_folder(model), model.repo, model.revision, hub_cache, modules_cache
    )
    places.refuse_overlap()
    return places


def healer_of(
    model: ModelConfig,
    memory: HashMemory,
    *,
    meter: Meter,
    reset: bool = False,
    source: Path | None = None,
) -> Healer:
    """Raises ConfigError for a model that is not ours to heal."""
    if model.path == POCKET:
        raise ConfigError(
            "the pocket model is a part of ocrd; when it is broken, install ocrd anew"
        )
    if not is_managed(model):
        raise ConfigError(
            f"model.path is {model.path}, a folder of yours in which ocrd changes nothing; remove model.path from the "
            "configuration and ocrd keeps a model of its own"
        )
    return Healer(HealRequest(places_of(model), reset, source), wanted_by(model), memory, meter)
