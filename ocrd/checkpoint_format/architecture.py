"""What a checkpoint's ``config.json`` says about the network, and the tensors that follow from it.

Pure arithmetic on the published configuration schema (``deepseek_vl_v2``): no torch, so that a
model folder can be examined without loading anything. Three numbers that the published code fixes
in its source, not in its configuration (SAM's neck width, its window, its view size), may be given
as extra keys; their absence means the published value.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from ocrd.errors import ModelError

MODEL_TYPE = "deepseek_vl_v2"
ARCHITECTURE_PREFIX = "DeepseekOCR"

# Pixels on a side of one SAM patch; fixed in the published code.
SAM_PATCH = 16
# The two stride-2 convolutions behind SAM's neck: one feature per 64 x 64 pixels.
SAM_DOWNSAMPLE = 4
# Both vision parts use 4; ``vision_config.mlp_ratio`` (3.7362) is read by nothing.
MLP_RATIO = 4

# CLIP's own patches: part of the layout, read by nothing.
UNUSED = "model.vision_model.embeddings.patch_embedding.weight"
# A buffer that some savers write out; it says 0, 1, 2, ...
OPTIONAL = "model.vision_model.embeddings.position_ids"

Shape = tuple[int, ...]


@dataclass(frozen=True)
class SamShape:
    width: int
    layers: int
    heads: int
    neck: int
    window: int
    global_layers: tuple[int, ...]
    downsample: tuple[int, int]
    # Pixels on a side of the view that the absolute positions were learnt for.
    view: int


@dataclass(frozen=True)
class ClipShape:
    width: int
    layers: int
    heads: int
    # Positions on a side that were learnt; other sizes are interpolated from it.
    grid: int
    patch: int


@dataclass(frozen=True)
class DecoderShape:
    vocabulary: int
    width: int
    layers: int
    heads: int
    kv_heads: int
    dense_layers: int
    dense_width: int
    experts: int
    experts_per_token: int
    shared_experts: int
    expert_width: int
    max_positions: int
    routed_scale: float
    rms_eps: float
    rope_theta: float
    bos: int
    eos: int

    @property
    def cache_values(self) -> int:
        """Numbers that the keys and values of one page take when it is as long as can be."""
        return 2 * self.layers * self.kv_heads * (self.width // self.heads) * self.max_positions


@dataclass(frozen=True)
class Architecture:
    """The shapes of one checkpoint's three parts."""

    sam: SamShape
    clip: ClipShape
    decoder: DecoderShape


def read_architecture(model_dir: Path) -> Architecture:
    """Read ``config.json`` in ``model_dir``.

    Raises ModelError when the file is absent, is not JSON, is another model's, or lacks a key.
    """
    path = model_dir / "config.json"
    if path.exists() and not path.is_file():  # a pipe, say, would be waited for
        raise ModelError(f"{path} is not a plain file")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(f"{path} is missing, so this folder holds no model") from error
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} cannot be read as JSON ({error})") from error
    if not isinstance(config, dict):
        raise ModelError(f"{path} holds no JSON object")
    return parse_architecture(config, str(path))


def parse_architecture(config: Mapping[str, Any], where: str = "config.json") -> Architecture:
    """Turn a parsed ``config.json`` into shapes; ``where`` names it in errors.

    Raises ModelError for another model type or architecture, and for missing or senseless values.
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
            sam=_sam(vision["width"]["sam_vit_b"], int(vision["image_size"])),
            clip=_clip(vision["width"]["clip-l-14-224"]),
            decoder=_decoder(config["language_config"]),
        )
        for shape in (arch.sam, arch.clip, arch.decoder):
            _refuse_senseless(shape)
        return arch
    except KeyError as error:
        raise ModelError(f"{where}: the key {error} is missing") from error
    except (TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise ModelError(f"{where}: a value has the wrong type or size ({error})") from error


_MAY_BE_NONE = frozenset({"dense_layers", "shared_experts", "bos", "eos"})
_MOST = {"layers": 1_000, "experts": 10_000}
# No part of a network that could be loaded is larger; what is would be counted for hours.
_LARGEST = 10_000_000


def _refuse_senseless(shape: SamShape | ClipShape | DecoderShape) -> None:
    """Raises ValueError for numbers that no network can have."""
    for name, value in vars(shape).items():
        least = 0 if name in _MAY_BE_NONE else 1
        if isinstance(value, int) and not least <= value <= _MOST.get(name, _LARGEST):
            raise ValueError(f"{name} is {value}")


def _sam(sam: Mapping[str, Any], view: int) -> SamShape:
    first, second = (int(n) for n in sam["downsample_channels"])
    return SamShape(
        width=int(sam["width"]),
        layers=int(sam["layers"]),
        heads=int(sam["heads"]),
        neck=int(sam.get("neck_channels", 256)),
        window=int(sam.get("window_size", 14)),
        global_layers=tuple(int(n) for n in sam["global_attn_indexes"]),
        downsample=(first, second),
        view=view,
    )


def _clip(clip: Mapping[str, Any]) -> ClipShape:
    return ClipShape(
        width=int(clip["width"]),
        layers=int(clip["layers"]),
        heads=int(clip["heads"]),
        grid=int(clip["image_size"]) // int(clip["patch_size"]),
        patch=int(clip["patch_size"]),
    )


def _decoder(text: Mapping[str, Any]) -> DecoderShape:
    if text.get("use_mla"):
        raise ValueError("use_mla is set, but this architecture has plain attention")
    if (
        text.get("topk_method", "greedy") != "greedy"
        or text.get("norm_topk_prob")
        or text.get("rope_scaling")
    ):
        raise ValueError(
            "topk_method, norm_topk_prob or rope_scaling asks for what DeepSeek-OCR does not have"
        )
    return DecoderShape(
        vocabulary=int(text["vocab_size"]),
        width=int(text["hidden_size"]),
        layers=int(text["num_hidden_layers"]),
        heads=int(text["num_attention_heads"]),
        kv_heads=int(text.get("num_key_value_heads") or text["num_attention_heads"]),
        dense_layers=int(text["first_k_dense_replace"]),
        dense_width=int(text["intermediate_size"]),
        experts=int(text["n_routed_experts"]),
        experts_per_token=int(text["num_experts_per_tok"]),
        shared_experts=int(text["n_shared_experts"]),
        expert_width=int(text["moe_intermediate_size"]),
        max_positions=int(text["max_position_embeddings"]),
        # Absent from the published file, which leaves them at its configuration class's defaults.
        routed_scale=float(text.get("routed_scaling_factor", 1.0)),
        rms_eps=float(text.get("rms_norm_eps", 1e-6)),
        rope_theta=float(text.get("rope_theta", 10000.0)),
        bos=int(text["bos_token_id"]),
        eos=int(text["eos_token_id"]),
    )


def published_tensors(arch: Architecture) -> dict[str, Shape]:
    """Every tensor of the published layout, by its published name, with its shape."""
    return dict(
        [
            *_sam_tensors(arch.sam),
            *_clip_tensors(arch.clip),
            *_glue_tensors(arch),
            *_decoder_tensors(arch),
        ]
    )


def count_parameters(arch: Architecture) -> int:
    """Of the published layout: 3.34 billion at the published size."""
    return sum(prod(shape) for shape in published_tensors(arch).values())


def _linear(name: str, out: int, *, into: int) -> Iterator[tuple[str, Shape]]:
    yield f"{name}.weight", (out, into)
    yield f"{name}.bias", (out,)


def _norm(name: str, width: int) -> Iterator[tuple[str, Shape]]:
    yield f"{name}.weight", (width,)
    yield f"{name}.bias", (width,)


def _sam_tensors(sam: SamShape) -> Iterator[tuple[str, Shape]]:
    root = "model.sam_model"
    head = sam.width // sam.heads
    grid = sam.view // SAM_PATCH
    yield f"{root}.pos_embed", (1, grid, grid, sam.width)
    yield f"{root}.patch_embed.proj.weight", (sam.width, 3, SAM_PATCH, SAM_PATCH)
    yield f"{root}.patch_embed.proj.bias", (sam.width,)
    for index in range(sam.layers):
        block = f"{root}.blocks.{index}"
        reach = 2 * (grid if index in sam.global_layers else sam.window) - 1
        yield from _norm(f"{block}.norm1", sam.width)
        yield from _norm(f"{block}.norm2", sam.width)
        yield from _linear(f"{block}.attn.qkv", 3 * sam.width, into=sam.width)
        yield from _linear(f"{block}.attn.proj", sam.width, into=sam.width)
        yield f"{block}.attn.rel_pos_h", (reach, head)
        yield f"{block}.attn.rel_pos_w", (reach, head)
        yield from _linear(f"{block}.mlp.lin1", MLP_RATIO * sam.width, into=sam.width)
        yield from _linear(f"{block}.mlp.lin2", sam.width, into=MLP_RATIO * sam.width)
    yield f"{root}.neck.0.weight", (sam.neck, sam.width, 1, 1)
    yield from _norm(f"{root}.neck.1", sam.neck)
    yield f"{root}.neck.2.weight", (sam.neck, sam.neck, 3, 3)
    yield from _norm(f"{root}.neck.3", sam.neck)
    yield f"{root}.net_2.weight", (sam.downsample[0], sam.neck, 3, 3)
    yield f"{root}.net_3.weight", (sam.downsample[1], sam.downsample[0], 3, 3)


def _clip_tensors(clip: ClipShape) -> Iterator[tuple[str, Shape]]:
    root = "model.vision_model"
    width = clip.width
    yield f"{root}.embeddings.class_embedding", (width,)
    # Shipped but read by nothing: SAM's features take the place of CLIP's own patches.
    yield UNUSED, (width, 3, clip.patch, clip.patch)
    yield f"{root}.embeddings.position_embedding.weight", (clip.grid**2 + 1, width)
    yield from _norm(f"{root}.pre_layrnorm", width)
    for index in range(clip.layers):
        layer = f"{root}.transformer.layers.{index}"
        yield from _norm(f"{layer}.layer_norm1", width)
        yield from _norm(f"{layer}.layer_norm2", width)
        yield from _linear(f"{layer}.self_attn.qkv_proj", 3 * width, into=width)
        yield from _linear(f"{layer}.self_attn.out_proj", width, into=width)
        yield from _linear(f"{layer}.mlp.fc1", MLP_RATIO * width, into=width)
        yield from _linear(f"{layer}.mlp.fc2", width, into=MLP_RATIO * width)


def _glue_tensors(arch: Architecture) -> Iterator[tuple[str, Shape]]:
    width = arch.decoder.width
    yield from _linear(
        "model.projector.layers", width, into=arch.clip.width + arch.sam.downsample[1]
    )
    yield "model.image_newline", (width,)
    yield "model.view_seperator", (width,)  # spelt so in the published checkpoint


def _decoder_tensors(arch: Architecture) -> Iterator[tuple[str, Shape]]:
    text = arch.decoder
    width = text.width
    head = text.width // text.heads
    yield "model.embed_tokens.weight", (text.vocabulary, width)
    yield "model.norm.weight", (width,)
    yield "lm_head.weight", (text.vocabulary, width)
    for index in range(text.layers):
        layer = f"model.layers.{index}"
        yield f"{layer}.input_layernorm.weight", (width,)
        yield f"{layer}.post_attention_layernorm.weight", (width,)
        yield f"{layer}.self_attn.q_proj.weight", (text.heads * head, width)
        yield f"{layer}.self_attn.k_proj.weight", (text.kv_heads * head, width)
        yield f"{layer}.self_attn.v_proj.weight", (text.kv_heads * head, width)
        yield f"{layer}.self_attn.o_proj.weight", (width, text.heads * head)
        if index < text.dense_layers:
            yield from _gated(f"{layer}.mlp", width, inner=text.dense_width)
            continue
        yield f"{layer}.mlp.gate.weight", (text.experts, width)
        yield from _gated(
            f"{layer}.mlp.shared_experts", width, inner=text.shared_experts * text.expert_width
        )
        for expert in range(text.experts):
            yield from _gated(f"{layer}.mlp.experts.{expert}", width, inner=text.expert_width)


def _gated(name: str, width: int, *, inner: int) -> Iterator[tuple[str, Shape]]:
    yield f"{name}.gate_proj.weight", (inner, width)
    yield f"{name}.up_proj.weight", (inner, width)
    yield f"{name}.down_proj.weight", (width, inner)
