"""The configuration file: described once, in `schema`; read by `load_config`.

To add or change a setting, edit `schema` (or `engine_schema`, `inbox_schema`) and run
``make config-docs``.
"""

from ocrd.config.engine_schema import PINNED_REPO, PINNED_REVISION, EngineConfig, ModelConfig
from ocrd.config.errors import InvalidConfig
from ocrd.config.inbox_schema import FilePolicy, InboxConfig, SubmitConfig
from ocrd.config.load import (
    LoadedConfig,
    load_config,
    log_warnings,
    parse_config,
    read_config,
)
from ocrd.config.model_location import is_managed, model_dir, models_folder
from ocrd.config.renames import RenamedSetting
from ocrd.config.schema import Config, DocumentsConfig, FinderConfig, LogConfig, PowerConfig
from ocrd.config.values import COLOURS, POCKET

__all__ = [
    "COLOURS",
    "PINNED_REPO",
    "PINNED_REVISION",
    "POCKET",
    "Config",
    "DocumentsConfig",
    "EngineConfig",
    "FilePolicy",
    "FinderConfig",
    "InboxConfig",
    "InvalidConfig",
    "LoadedConfig",
    "LogConfig",
    "ModelConfig",
    "PowerConfig",
    "RenamedSetting",
    "SubmitConfig",
    "is_managed",
    "load_config",
    "log_warnings",
    "model_dir",
    "models_folder",
    "parse_config",
    "read_config",
]
