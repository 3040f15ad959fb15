"""Every setting: its type, its default, what is allowed, and a description in words.

The models here and in ``engine_schema`` and ``inbox_schema`` are the only description of the
configuration. The error messages, ``config.example.toml``, ``docs/configuration.md``,
``docs/config.schema.json``, ``ocrd init`` and ``ocrd config show`` all follow from them. After a
change, run ``make config-docs``.

Descriptions name the unit of a number. What is allowed follows from the type.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ocrd.config.engine_schema import EngineConfig, ModelConfig
from ocrd.config.inbox_schema import DEFAULT_INBOX, InboxConfig, SubmitConfig
from ocrd.config.values import Colour, Table, TagName


class DocumentsConfig(Table):
    """``[documents]``."""

    dpi: int = Field(
        default=200, ge=50, le=1200, description="Dots per inch at which PDF pages are drawn."
    )
    max_megabytes: int = Field(
        default=2048, ge=1, description="MB (1024 x 1024 bytes). Larger files are refused."
    )
    max_megapixels: int = Field(
        default=300, ge=1, description="Millions of pixels. Larger pictures and pages are refused."
    )


class LogConfig(Table):
    """``[log]``."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least severe events that are logged."
    )
    max_megabytes: int = Field(
        default=10, ge=1, description="MB (1024 x 1024 bytes) at which the log file is rotated."
    )
    keep: int = Field(default=5, ge=1, description="How many rotated log files are kept.")


class FinderConfig(Table):
    """``[finder]``."""

    tags: bool = Field(default=True, description="Tag files in Finder. Your own tags are kept.")
    done_tag: TagName = Field(default="OCR", description="The tag of a file that was read.")
    done_colour: Colour = Field(default="blue", description="The colour of that tag.")
    failed_tag: TagName = Field(
        default="OCR failed", description="The tag of a file that could not be read."
    )
    failed_colour: Colour = Field(default="red", description="The colour of that tag.")
    notify: bool = Field(
        default=False,
        description="Show notifications that summarise which files were read, failures first.",
    )

    @model_validator(mode="after")
    def _different_tags(self) -> FinderConfig:
        if self.done_tag == self.failed_tag:
            raise ValueError(
                "finder.done_tag and finder.failed_tag are equal; they must differ, because each "
                "replaces the other"
            )
        return self


class PowerConfig(Table):
    """``[power]``."""

    keep_awake: bool = Field(
        default=True, description="Keep the Mac from sleeping while something is being read."
    )
    pause_on_battery: bool = Field(
        default=False,
        description="Read nothing while the machine runs on its battery. New files wait.",
    )


class Config(Table):
    """The whole configuration file."""

    model: ModelConfig = Field(
        default=ModelConfig(),
        description="The model. ocrd keeps its own copy: it downloads the model at the first start "
        "(6.7 GB), verifies it at every start, and repairs it when it is damaged.",
    )
    engine: EngineConfig = Field(
        default=EngineConfig(),
        description="How the model runs, and what to do when the GPU fails.",
    )
    documents: DocumentsConfig = Field(
        default=DocumentsConfig(), description="How pages are drawn, and which files are too large."
    )
    log: LogConfig = Field(default=LogConfig(), description="The log file.")
    finder: FinderConfig = Field(
        default=FinderConfig(), description="What Finder shows of a file. Has no effect on Linux."
    )
    power: PowerConfig = Field(default=PowerConfig(), description="Sleep and battery.")
    submit: SubmitConfig = Field(
        default=SubmitConfig(),
        description="For files that are read where they are: `ocrd submit`, Finder's Quick Action, "
        "Hazel. A file inside an inbox is treated by that inbox's settings.",
    )
    inbox: Annotated[tuple[InboxConfig, ...], Field(strict=False, min_length=1)] = Field(
        default=(InboxConfig(),),
        description="A folder to watch. Add one [[inbox]] table for each folder.",
    )

    @model_validator(mode="before")
    @classmethod
    def _default_inbox(cls, data: Any) -> Any:
        # pydantic does not validate defaults, so the default's "~" would stay.
        if isinstance(data, dict) and "inbox" not in data:
            return {**data, "inbox": [{"path": str(DEFAULT_INBOX)}]}
        return data

    @model_validator(mode="after")
    def _separate_inboxes(self) -> Config:
        folders = [Path(os.path.realpath(inbox.path)) for inbox in self.inbox]
        for index, folder in enumerate(folders):
            for earlier, other in enumerate(folders[:index]):
                if folder == other:
                    relation = "the same folder as"
                elif other in folder.parents:
                    relation = "inside"
                elif folder in other.parents:
                    relation = "a folder around"
                else:
                    continue
                raise ValueError(
                    f"inbox[{index + 1}].path ({folder}) is {relation} inbox[{earlier + 1}].path "
                    f"({other}); each file must belong to one inbox"
                )
        return self
