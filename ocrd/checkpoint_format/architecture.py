"""The network's sizes, read from a checkpoint's ``config.json``.

The configuration schema is the published one (``deepseek_vl_v2``). Nothing here needs torch, so a
model folder can be examined without loading anything. The published code fixes two numbers in its
source: SAM's neck channels and SAM's window size. Here they may be given as extra keys; when they
are absent, they have the published values.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ocrd.errors import ModelError

MODEL_TYPE = "deepseek_vl_v2"
ARCHITECTURE_PREFIX = "DeepseekOCR"

# Pixels on a side of one SAM patch; fixed in the published code.
SAM_PATCH_SIZE = 16
# Hidden size of the MLPs in both vision encoders, in multiples of their width. Nothing reads
# ``vision_config.mlp_ratio`` (3.7362).
MLP_RATIO = 4

# Configuration values outside these bounds belong to no network that could be loaded. Without the
# bounds, counting the tensors of a damaged configuration could take hours.
MAX_LAYERS = 1_000
MAX_EXPERTS = 10_000
MAX_SIZE = 10_000_000
# Integers that may be 0. All others are at least 1.
MAY_BE_ZERO = frozenset({"num_dense_layers", "num_shared_experts", "bos_token_id", "eos_token_id"})


@dataclass(frozen=True)
class SamConfig:
    """Sizes of the first vision encoder, SAM's ViT with its neck and two convolutions."""

    hidden_size: int
    num_layers: int
    num_heads: int
    neck_channels: int
    # Patches on a side of an attention window.
    window_size: int
    # Indices of the layers with attention among all patches.
    global_attn_layers: tuple[int, ...]
    # Output channels of the two stride-2 convolutions.
    downsample_channels: tuple[int, int]
    # Pixels on a side of the view that the absolute positions were learned for.
    image_size: int


@dataclass(frozen=True)
class ClipConfig:
    """Sizes of the second vision encoder, CLIP's ViT."""

    hidden_size: int
    num_layers: int
    num_heads: int
    # Learned positions on a side; for other sizes they are interpolated.
    grid_size: int
    patch_size: int


@dataclass(frozen=True)
class DecoderConfig:
    """Sizes of the language model: multi-head attention and a mixture of experts."""

    vocab_size: int
    hidden_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    # The first layers, which have one MLP of ``intermediate_size`` instead of experts.
    num_dense_layers: int
    intermediate_size: int
    num_experts: int
    num_experts_per_token: int
    num_shared_experts: int
    moe_intermediate_size: int
    max_positions: int
    routed_scaling_factor: float
    rms_norm_eps: float
    rope_theta: float
    bos_token_id: int
    eos_token_id: int

    @property
    def max_kv_elements(self) -> int:
        """Elements in the KV cache of one page that is as long as possible."""
        head_size = self.hidden_size // self.num_heads
        return 2 * self.num_layers * self.num_kv_heads * head_size * self.max_positions


@dataclass(frozen=True)
class Architecture:
    """The sizes of a checkpoint's three parts."""

    sam: SamConfig
    clip: ClipConfig
    decoder: DecoderConfig


def read_architecture(model_dir: Path) -> Architecture:
    """Read ``config.json`` in ``model_dir``.

    Raises:
        ModelError: The file is missing, is not JSON, belongs to another model, or lacks a key.
    """
    path = model_dir / "config.json"
    if path.exists() and not path.is_file():  # reading a pipe, for example, would block
        raise ModelError(f"{path} is not a plain file")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(f"{path} is missing, so this folder contains no model") from error
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} cannot be read as JSON ({error})") from error
    if not isinstance(config, dict):
        raise ModelError(f"{path} is not a JSON object")
    return parse_architecture(config, str(path))


def parse_architecture(config: Mapping[str, Any], where: str = "config.json") -> Architecture:
    """Parse the contents of a ``config.json``.

    Args:
        config: The JSON object.
        where: What to call it in error messages.

    Raises:
        ModelError: It belongs to another model, or values are missing or impossible.
    """
    if config.get("model_type") != MODEL_TYPE:
        raise ModelError(
            f"{where}: model_type is {config.get('model_type')!r}, expected {MODEL_TYPE!r}"
        )
    architectures = config.get("architectures") or []
    if not any(str(name).startswith(ARCHITECTURE_PREFIX) for name in architectures):
        raise ModelError(
            f"{where}: architectures is {architectures!r}, expected one {ARCHITECTURE_PREFIX}*"
        )
    try:
        vision = config["vision_config"]
        arch = Architecture(
            sam=_parse_sam(vision["width"]["sam_vit_b"], int(vision["image_size"])),
            clip=_parse_clip(vision["width"]["clip-l-14-224"]),
            decoder=_parse_decoder(config["language_config"]),
        )
        for part in (arch.sam, arch.clip, arch.decoder):
            _check_bounds(part)
        return arch
    except KeyError as error:
        raise ModelError(f"{where}: the key {error} is missing") from error
    except (TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise ModelError(f"{where}: a value has the wrong type or size ({error})") from error


def _check_bounds(part: SamConfig | ClipConfig | DecoderConfig) -> None:
    """Raise ValueError for a number that no network can have."""
    largest = {"num_layers": MAX_LAYERS, "num_experts": MAX_EXPERTS}
    for name, value in vars(part).items():
        smallest = 0 if name in MAY_BE_ZERO else 1
        if isinstance(value, int) and not smallest <= value <= largest.get(name, MAX_SIZE):
            raise ValueError(f"{name} is {value}")


def _parse_sam(sam: Mapping[str, Any], image_size: int) -> SamConfig:
    first, second = (int(channels) for channels in sam["downsample_channels"])
    return SamConfig(
        hidden_size=int(sam["width"]),
        num_layers=int(sam["layers"]),
        num_heads=int(sam["heads"]),
        neck_channels=int(sam.get("neck_channels", 256)),
        window_size=int(sam.get("window_size", 14)),
        global_attn_layers=tuple(int(index) for index in sam["global_attn_indexes"]),
        downsample_channels=(first, second),
        image_size=image_size,
    )


def _parse_clip(clip: Mapping[str, Any]) -> ClipConfig:
    return ClipConfig(
        hidden_size=int(clip["width"]),
        num_layers=int(clip["layers"]),
        num_heads=int(clip["heads"]),
        grid_size=int(clip["image_size"]) // int(clip["patch_size"]),
        patch_size=int(clip["patch_size"]),
    )


def _parse_decoder(text: Mapping[str, Any]) -> DecoderConfig:
    if text.get("use_mla"):
        raise ValueError("use_mla is set, but DeepSeek-OCR has multi-head attention")
    if (
        text.get("topk_method", "greedy") != "greedy"
        or text.get("norm_topk_prob")
        or text.get("rope_scaling")
    ):
        raise ValueError(
            "topk_method, norm_topk_prob or rope_scaling asks for what DeepSeek-OCR does not have"
        )
    return DecoderConfig(
        vocab_size=int(text["vocab_size"]),
        hidden_size=int(text["hidden_size"]),
        num_layers=int(text["num_hidden_layers"]),
        num_heads=int(text["num_attention_heads"]),
        num_kv_heads=int(text.get("num_key_value_heads") or text["num_attention_heads"]),
        num_dense_layers=int(text["first_k_dense_replace"]),
        intermediate_size=int(text["intermediate_size"]),
        num_experts=int(text["n_routed_experts"]),
        num_experts_per_token=int(text["num_experts_per_tok"]),
        num_shared_experts=int(text["n_shared_experts"]),
        moe_intermediate_size=int(text["moe_intermediate_size"]),
        max_positions=int(text["max_position_embeddings"]),
        # The published file does not have these; it uses its configuration class's defaults.
        routed_scaling_factor=float(text.get("routed_scaling_factor", 1.0)),
        rms_norm_eps=float(text.get("rms_norm_eps", 1e-6)),
        rope_theta=float(text.get("rope_theta", 10000.0)),
        bos_token_id=int(text["bos_token_id"]),
        eos_token_id=int(text["eos_token_id"]),
    )
