"""The tables ``[model]`` and ``[engine]``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ocrd.config.values import POCKET, AbsolutePath, ModelPath, RepoName, RevisionName, Table

PINNED_REPO = "deepseek-ai/DeepSeek-OCR"
PINNED_REVISION = "1e3401a3d4603e9e71ea0ec850bfead602191ec4"


class ModelConfig(Table):
    """``[model]``."""

    repo: RepoName = Field(
        default=PINNED_REPO,
        description="The Hugging Face repository to download the model from. It must have the "
        "layout of the published checkpoint.",
    )
    revision: RevisionName = Field(
        default=PINNED_REVISION, description="The repository's commit, branch or tag."
    )
    folder: AbsolutePath | None = Field(
        default=None,
        description="The folder for downloaded models. Without it, ocrd's state folder.",
        examples=["/Volumes/Big/models"],
    )
    path: ModelPath | None = Field(
        default=None,
        description='Use this model instead of a downloaded one: "pocket" is the small '
        "demonstration model that ships with ocrd, anything else is your own folder with a "
        "checkpoint, which ocrd verifies and never changes.",
        examples=[POCKET],
    )


class EngineConfig(Table):
    """``[engine]``."""

    device: Literal["auto", "mps", "cuda", "cpu"] = Field(
        default="auto",
        description='The device that runs the model. "auto" takes the fastest one that has '
        "enough memory and passes the self-test.",
    )
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto",
        description='The number format of the weights. "auto" takes float32 if it fits into '
        "memory and else bfloat16, which needs half as much; on CUDA it prefers bfloat16.",
    )
    mode: Literal["auto", "tiny", "small", "base", "large", "gundam"] = Field(
        default="auto",
        description='The resolution at which the model sees a page. "auto" chooses by the size '
        "of the picture.",
    )
    batch: Literal["auto"] | Annotated[int, Field(ge=1, le=8)] = Field(
        default="auto",
        description='How many pages are decoded together. "auto" takes as many as memory '
        "allows, up to 8.",
    )
    skip_blank: bool = Field(default=True, description="Do not show empty pages to the model.")
    max_new_tokens: int = Field(
        default=8192, ge=1, le=8192, description="The maximum number of tokens for one page."
    )
    page_deadline: float = Field(
        default=1800.0,
        gt=0,
        description="Seconds for one page. After that, reading stops and the text so far is kept.",
    )
    load_deadline: float = Field(default=1800.0, gt=0, description="Seconds for loading the model.")
    unload_after: float = Field(
        default=0.0,
        ge=0,
        description="Seconds without work after which the model leaves memory until the next file. "
        "0 means never.",
    )
    max_fallbacks: int = Field(
        default=3,
        ge=1,
        description="How many pages in a row may fail on the GPU before only the CPU is used "
        "for a while.",
    )
    cool_down: float = Field(
        default=600.0,
        ge=0,
        description="Seconds for which only the CPU is used after that. Then a self-test decides.",
    )
    memory_ceiling: Annotated[float, Field(gt=0)] | None = Field(
        default=None,
        description="GB of memory that the worker process may use before it is replaced. Without "
        "it, 90% of the machine's memory.",
        examples=[20],
    )
    memory_growth: float = Field(
        default=6.0,
        gt=0,
        description="GB by which the worker process may grow after its first document before it is "
        "replaced.",
    )
    mps_fallback: bool = Field(
        default=True, description="Run operators that MPS does not implement on the CPU."
    )
    # Never 0: torch's documentation says that 0 may cause system failure.
    mps_high_watermark: float = Field(
        default=1.0,
        gt=0,
        le=2,
        description="Share of the memory that macOS recommends for the GPU (1.0 is all of it) "
        "above which torch refuses to allocate.",
    )
    mps_low_watermark: float = Field(
        default=0.9,
        gt=0,
        le=2,
        description="Share of the same memory above which torch frees memory that it cached. Not "
        "above mps_high_watermark.",
    )

    @model_validator(mode="after")
    def _watermarks_in_order(self) -> EngineConfig:
        if self.mps_low_watermark > self.mps_high_watermark:
            raise ValueError(
                f"engine.mps_low_watermark is {self.mps_low_watermark}; it must not be above "
                f"engine.mps_high_watermark ({self.mps_high_watermark}), because torch refuses that"
            )
        return self
