"""DeepSeek-OCR, composed of transformers' parts.

SAM + CLIP -> projector -> mixture-of-experts decoder.

The sub-modules keep the published names ``sam_model``, ``vision_model`` and ``projector``. Image
tokens are contiguous in the prompt, so their embeddings are put there by concatenation: no
``masked_scatter``, whose dtype clash on MPS is the failure this project is named for.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers.models.deepseek_ocr2.configuration_deepseek_ocr2 import DeepseekOcr2TextConfig
from transformers.models.deepseek_ocr2.modeling_deepseek_ocr2 import DeepseekOcr2TextModel

from ocrd.checkpoint_format.architecture import Architecture, DecoderShape
from ocrd.engine.nn.attention import ATTENTION
from ocrd.engine.nn.clip import ClipEncoder
from ocrd.engine.nn.kernels import EXPERTS, DecodeLinear, install_kernels
from ocrd.engine.nn.sam import build_sam


@dataclass(frozen=True)
class ViewFeatures:
    """What the eye made of N views of S x S pixels; G = S / 64."""

    # [N, C, G, G], SAM's feature map.
    sam: Tensor
    # [N, G*G, D], in the decoder's width, row by row.
    projected: Tensor


class Projector(nn.Module):
    """One linear layer from both eyes' features to the decoder's width."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.layers = nn.Linear(into, out)

    def forward(self, features: Tensor) -> Tensor:
        projected: Tensor = self.layers(features)
        return projected


def build_decoder(shape: DecoderShape) -> DeepseekOcr2TextModel:
    config = DeepseekOcr2TextConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.width,
        intermediate_size=shape.dense_width,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        max_position_embeddings=shape.max_positions,
        rms_norm_eps=shape.rms_eps,
        rope_parameters={"rope_type": "default", "rope_theta": shape.rope_theta},
        n_routed_experts=shape.experts,
        n_shared_experts=shape.shared_experts,
        num_experts_per_tok=shape.experts_per_token,
        moe_intermediate_size=shape.expert_width,
        routed_scaling_factor=shape.routed_scale,
        topk_method="greedy",
        mlp_layer_types=[
            "dense" if i < shape.dense_layers else "sparse" for i in range(shape.layers)
        ],
        bos_token_id=shape.bos,
        eos_token_id=shape.eos,
    )
    config._attn_implementation = ATTENTION
    config._experts_implementation = EXPERTS
    return DeepseekOcr2TextModel(config)


class Network(nn.Module):
    """The whole model. Weights are whatever the constructor left: load or train before use."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        width = arch.decoder.width
        self.arch = arch
        self.sam_model = build_sam(arch.sam)
        self.vision_model = ClipEncoder(arch.clip)
        self.projector = Projector(arch.clip.width + arch.sam.downsample[1], width)
        self.image_newline = nn.Parameter(torch.zeros(width))
        self.view_seperator = nn.Parameter(torch.zeros(width))
        self.language_model = build_decoder(arch.decoder)
        self.lm_head = DecodeLinear(width, arch.decoder.vocabulary, bias=False)
        self.ways = install_kernels(self, self.language_model)

    @property
    def device(self) -> torch.device:
        return self.lm_head.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.lm_head.weight.dtype

    def encode_views(self, views: Tensor) -> ViewFeatures:
        """Features of N square views: [N, 3, S, S], normalised, S a multiple of 64."""
        return self._see_again(self.sam_model(views).last_hidden_state)

    def encode_tiles(self, views: Tensor) -> ViewFeatures:
        """The same, with one view at a time where that takes memory (SAM), and all at once where
        it saves time.

        CLIP has 101 tokens for a tile: too few for its weights to be worth reading, so six tiles
        take 0.9 s, not 2.8 s.
        """
        return self._see_again(
            torch.cat([self.sam_model(view[None]).last_hidden_state for view in views])
        )

    def _see_again(self, sam: Tensor) -> ViewFeatures:
        clip = self.vision_model(sam)[:, 1:]
        both = torch.cat([clip, sam.flatten(2).transpose(1, 2)], dim=-1)
        return ViewFeatures(sam=sam, projected=self.projector(both))

    def assemble_image_tokens(
        self, global_view: Tensor, tiles: Tensor | None, *, grid: tuple[int, int]
    ) -> Tensor:
        """One picture's image tokens.

        Tiles as one big grid, then the global view, then the separator.

        global_view: [G*G, D]; tiles: [columns*rows, g*g, D] row by row or None; grid: (columns,
        rows). Returns [tokens, D]: each row of each grid ends with ``image_newline``.
        """
        parts = [] if tiles is None else [self._with_newlines(_join_tiles(tiles, grid))]
        side = round(global_view.shape[0] ** 0.5)
        parts += [self._with_newlines(global_view.view(side, side, -1)), self.view_seperator[None]]
        return torch.cat(parts)

    def _with_newlines(self, grid: Tensor) -> Tensor:
        """[rows, columns, D] -> [rows * (columns + 1), D]."""
        newline = self.image_newline.expand(grid.shape[0], 1, -1)
        return torch.cat([grid, newline], dim=1).flatten(0, 1)

    def embed_prompt(self, before: Tensor, image: Tensor, *, after: Tensor) -> Tensor:
        """Token ids before [a], image tokens [t, D], token ids after [b] -> [1, a + t + b, D]."""
        embed = self.language_model.embed_tokens
        return torch.cat([embed(before), image.to(embed.weight.dtype), embed(after)])[None]


def _join_tiles(tiles: Tensor, grid: tuple[int, int]) -> Tensor:
    """[columns*rows, g*g, D] tiles, row by row -> [rows*g, columns*g, D], as they lie in the
    picture.
    """
    columns, rows = grid
    side = round(tiles.shape[1] ** 0.5)
    laid = tiles.view(rows, columns, side, side, -1).transpose(1, 2)
    return laid.reshape(rows * side, columns * side, -1)
