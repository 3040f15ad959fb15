"""The tensors of a published checkpoint: their names and shapes follow from its architecture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path

from ocrd.checkpoint_format.architecture import (
    MLP_RATIO,
    SAM_PATCH_SIZE,
    Architecture,
    ClipConfig,
    DecoderConfig,
    SamConfig,
)
from ocrd.errors import ModelError

# CLIP's own patch embedding. It is in the checkpoint, but nothing uses it: SAM's features take the
# place of CLIP's patches.
UNUSED_TENSOR = "model.vision_model.embeddings.patch_embedding.weight"
# A buffer (0, 1, 2, ...) that some programs write to the checkpoint.
OPTIONAL_TENSOR = "model.vision_model.embeddings.position_ids"

# How many wrong tensors an error message names.
MAX_NAMED = 3

Shape = tuple[int, ...]


def published_tensors(arch: Architecture) -> dict[str, Shape]:
    """Return the shape of every tensor of the published layout, by its published name."""
    return dict(
        [
            *_sam_tensors(arch.sam),
            *_clip_tensors(arch.clip),
            *_projector_tensors(arch),
            *_decoder_tensors(arch.decoder),
        ]
    )


def count_parameters(arch: Architecture) -> int:
    """Count the numbers in the published layout; the published model has 3.34 billion."""
    return sum(prod(shape) for shape in published_tensors(arch).values())


def check_tensors(found: Mapping[str, Shape], arch: Architecture, *, model_dir: Path) -> None:
    """Compare the tensors of a checkpoint with what its architecture needs.

    Args:
        found: The shape of each tensor in the checkpoint, by name.
        arch: What the checkpoint's configuration says.
        model_dir: The checkpoint's folder, for error messages.

    Raises:
        ModelError: Tensors are missing, unexpected or have another shape. The message names the
            first of them.
    """
    expected = published_tensors(arch)
    missing = sorted(expected.keys() - found.keys() - {UNUSED_TENSOR})
    unexpected = sorted(found.keys() - expected.keys() - {OPTIONAL_TENSOR})
    misshapen = [
        f"{name} {list(found[name])} instead of {list(expected[name])}"
        for name in sorted(expected.keys() & found.keys())
        if found[name] != expected[name]
    ]
    for problem, names in (
        ("lacks", missing),
        ("has unexpected", unexpected),
        ("has misshapen", misshapen),
    ):
        if names:
            more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
            raise ModelError(
                f"the checkpoint in {model_dir} {problem} tensors: "
                f"{', '.join(names[:MAX_NAMED])}{more}"
            )


def _sam_tensors(sam: SamConfig) -> Iterator[tuple[str, Shape]]:
    root = "model.sam_model"
    width = sam.hidden_size
    neck = sam.neck_channels
    first, second = sam.downsample_channels
    grid = sam.image_size // SAM_PATCH_SIZE
    yield f"{root}.pos_embed", (1, grid, grid, width)
    yield f"{root}.patch_embed.proj.weight", (width, 3, SAM_PATCH_SIZE, SAM_PATCH_SIZE)
    yield f"{root}.patch_embed.proj.bias", (width,)
    for index in range(sam.num_layers):
        block = f"{root}.blocks.{index}"
        attended = grid if index in sam.global_attn_layers else sam.window_size
        relative = (2 * attended - 1, width // sam.num_heads)
        yield from _norm(f"{block}.norm1", width)
        yield from _norm(f"{block}.norm2", width)
        yield from _linear(f"{block}.attn.qkv", 3 * width, in_features=width)
        yield from _linear(f"{block}.attn.proj", width, in_features=width)
        yield f"{block}.attn.rel_pos_h", relative
        yield f"{block}.attn.rel_pos_w", relative
        yield from _linear(f"{block}.mlp.lin1", MLP_RATIO * width, in_features=width)
        yield from _linear(f"{block}.mlp.lin2", width, in_features=MLP_RATIO * width)
    yield f"{root}.neck.0.weight", (neck, width, 1, 1)
    yield from _norm(f"{root}.neck.1", neck)
    yield f"{root}.neck.2.weight", (neck, neck, 3, 3)
    yield from _norm(f"{root}.neck.3", neck)
    yield f"{root}.net_2.weight", (first, neck, 3, 3)
    yield f"{root}.net_3.weight", (second, first, 3, 3)


def _clip_tensors(clip: ClipConfig) -> Iterator[tuple[str, Shape]]:
    root = "model.vision_model"
    width = clip.hidden_size
    yield f"{root}.embeddings.class_embedding", (width,)
    yield UNUSED_TENSOR, (width, 3, clip.patch_size, clip.patch_size)
    yield f"{root}.embeddings.position_embedding.weight", (clip.grid_size**2 + 1, width)
    yield from _norm(f"{root}.pre_layrnorm", width)
    for index in range(clip.num_layers):
        layer = f"{root}.transformer.layers.{index}"
        yield from _norm(f"{layer}.layer_norm1", width)
        yield from _norm(f"{layer}.layer_norm2", width)
        yield from _linear(f"{layer}.self_attn.qkv_proj", 3 * width, in_features=width)
        yield from _linear(f"{layer}.self_attn.out_proj", width, in_features=width)
        yield from _linear(f"{layer}.mlp.fc1", MLP_RATIO * width, in_features=width)
        yield from _linear(f"{layer}.mlp.fc2", width, in_features=MLP_RATIO * width)


def _projector_tensors(arch: Architecture) -> Iterator[tuple[str, Shape]]:
    width = arch.decoder.hidden_size
    in_features = arch.clip.hidden_size + arch.sam.downsample_channels[1]
    yield from _linear("model.projector.layers", width, in_features=in_features)
    yield "model.image_newline", (width,)
    yield "model.view_seperator", (width,)  # spelt so in the published checkpoint


def _decoder_tensors(decoder: DecoderConfig) -> Iterator[tuple[str, Shape]]:
    width = decoder.hidden_size
    head = width // decoder.num_heads
    yield "model.embed_tokens.weight", (decoder.vocab_size, width)
    yield "model.norm.weight", (width,)
    yield "lm_head.weight", (decoder.vocab_size, width)
    for index in range(decoder.num_layers):
        layer = f"model.layers.{index}"
        yield f"{layer}.input_layernorm.weight", (width,)
        yield f"{layer}.post_attention_layernorm.weight", (width,)
        yield f"{layer}.self_attn.q_proj.weight", (decoder.num_heads * head, width)
        yield f"{layer}.self_attn.k_proj.weight", (decoder.num_kv_heads * head, width)
        yield f"{layer}.self_attn.v_proj.weight", (decoder.num_kv_heads * head, width)
        yield f"{layer}.self_attn.o_proj.weight", (width, decoder.num_heads * head)
        if index < decoder.num_dense_layers:
            yield from _gated_mlp(f"{layer}.mlp", width, inner=decoder.intermediate_size)
            continue
        inner = decoder.moe_intermediate_size
        shared = decoder.num_shared_experts * inner
        yield f"{layer}.mlp.gate.weight", (decoder.num_experts, width)
        yield from _gated_mlp(f"{layer}.mlp.shared_experts", width, inner=shared)
        for expert in range(decoder.num_experts):
            yield from _gated_mlp(f"{layer}.mlp.experts.{expert}", width, inner=inner)


def _linear(name: str, out_features: int, *, in_features: int) -> Iterator[tuple[str, Shape]]:
    yield f"{name}.weight", (out_features, in_features)
    yield f"{name}.bias", (out_features,)


def _norm(name: str, width: int) -> Iterator[tuple[str, Shape]]:
    yield f"{name}.weight", (width,)
    yield f"{name}.bias", (width,)


def _gated_mlp(name: str, width: int, *, inner: int) -> Iterator[tuple[str, Shape]]:
    yield f"{name}.gate_proj.weight", (inner, width)
    yield f"{name}.up_proj.weight", (inner, width)
    yield f"{name}.down_proj.weight", (width, inner)
