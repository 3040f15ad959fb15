"""SAM's encoder with its attention in pieces, so that the bias between all pairs of patches is
never whole.

A 1024 view has 4096 patches. In the four layers that look at all of them, scores and their
relative-position bias are 4096 x 4096 x 12 heads: 800 MB each in float32, written and read several
times. Here a piece of the scores is made, used and forgotten while it still lies in the processor's
cache. In the other layers, which look at windows, what pads the last windows costs nothing but its
place: it is the same everywhere, so it is not computed.

Weights, names and results are those of transformers' encoder, which this one is built from.
"""

from __future__ import annotations

import torch
from torch import Tensor
from transformers.models.deepseek_ocr2.configuration_deepseek_ocr2 import (
    DeepseekOcr2SamVisionConfig,
)
from transformers.models.deepseek_ocr2.modeling_deepseek_ocr2 import (
    DeepseekOcr2SamVisionEncoder,
    DeepseekOcr2SamVisionLayer,
)

from ocrd.checkpoint_format.architecture import MLP_RATIO, SAM_PATCH_SIZE, SamConfig
from ocrd.engine.nn.kernels import use_prefill_linear

# Bytes of scores at a time: what stays in a processor's cache on the way from one step to the next.
PIECE = {"cpu": 4 << 20}
# On a GPU each piece costs its launches, so there are few.
PIECE_ELSEWHERE = 128 << 20


def build_sam(sizes: SamConfig) -> DeepseekOcr2SamVisionEncoder:
    """SAM ViT with neck and two stride-2 convolutions: [N, 3, S, S] -> [N, C, S/64, S/64]."""
    config = DeepseekOcr2SamVisionConfig(
        hidden_size=sizes.hidden_size,
        output_channels=sizes.neck_channels,
        num_hidden_layers=sizes.num_layers,
        num_attention_heads=sizes.num_heads,
        image_size=sizes.image_size,
        patch_size=SAM_PATCH_SIZE,
        window_size=sizes.window_size,
        global_attn_indexes=list(sizes.global_attn_layers),
        downsample_channels=list(sizes.downsample_channels),
        mlp_ratio=float(MLP_RATIO),
        layer_norm_eps=1e-6,
    )
    config._attn_implementation = (
        "sdpa"  # transformers' own switch; it has no public setter on a bare config
    )
    encoder = DeepseekOcr2SamVisionEncoder(config)
    for layer in encoder.layers:
        layer.__class__ = PiecewiseLayer  # same parameters; only the way through them differs
    use_prefill_linear(encoder)
    return encoder


class PiecewiseLayer(DeepseekOcr2SamVisionLayer):  # type: ignore[misc]  # transformers is untyped here
    """One layer of the encoder: [N, H, W, C] -> [N, H, W, C]."""

    def forward(self, hidden: Tensor) -> Tensor:
        attended: Tensor = self.attn.proj(self._attend(self.attn.qkv(self.layer_norm1(hidden))))
        hidden = hidden + attended
        # lin1's own activation: one pass less where the product can bring it along.
        fed: Tensor = self.mlp.lin2(self.mlp.lin1.with_gelu(self.layer_norm2(hidden)))
        return hidden + fed

    def _attend(self, qkv: Tensor) -> Tensor:
        """[N, H, W, 3C] queries, keys and values -> [N, H, W, C]."""
        if self.window_size == 0:
            return self._within(qkv)
        count, height, width, _ = qkv.shape
        side = self.window_size
        down = -(-height // side)
        across = -(-width // side)
        if (down * side, across * side) != (height, width):
            # Padding is zero before the projection, so behind it there is the bias alone.
            padded = self.attn.qkv.bias.expand(count, down * side, across * side, -1).clone()
            padded[:, :height, :width] = qkv
            qkv = padded
        windows = (
            qkv.view(count, down, side, across, side, -1)
            .transpose(2, 3)
            .reshape(-1, side, side, qkv.shape[-1])
        )
        seen = self._within(windows).view(count, down, across, side, side, -1).transpose(2, 3)
        return seen.reshape(count, down * side, across * side, -1)[:, :height, :width]

    def _within(self, qkv: Tensor) -> Tensor:
        """Attention of all patches to all: [N, H, W, 3C] -> [N, H, W, C]."""
        count, height, width, _ = qkv.shape
        heads = self.attn.num_attention_heads
        query, key, value = (
            qkv.view(count, height * width, 3, heads, -1)
            .permute(2, 0, 3, 1, 4)
            .reshape(3, count * heads, height * width, -1)
        )
        over_rows = self.attn.get_rel_pos(height, height, self.attn.rel_pos_h)
        over_columns = self.attn.get_rel_pos(width, width, self.attn.rel_pos_w)
        out = attend_in_pieces(
            query, key, value=value, over_rows=over_rows, over_columns=over_columns
        )
        return (
            out.view(count, heads, height, width, -1)
            .permute(0, 2, 3, 1, 4)
            .reshape(count, height, width, -1)
        )


def attend_in_pieces(
    query: Tensor, key: Tensor, *, value: Tensor, over_rows: Tensor, over_columns: Tensor
) -> Tensor:
    """Attention with a decomposed relative-position bias, a piece of the scores at a time.

    query, key, value: [B, H*W, D], one head each; over_rows: [H, H, D], over_columns: [W, W, D], by
    where the query and where the key stands. Returns [B, H*W, D]. The bias is MViTv2's (Li et al.,
    2022), as SAM uses it: ``query . over_rows[row, key's row] + query . over_columns[column, key's
    column]``.
    """
    count, patches, depth = query.shape
    height = over_rows.shape[0]
    width = over_columns.shape[0]
    grid = query.view(count, height, width, depth)
    by_row = torch.einsum("bhwd,hkd->bhwk", grid, over_rows).reshape(count, patches, height)
    by_column = torch.einsum("bhwd,wkd->bhwk", grid, over_columns).reshape(count, patches, width)
    scaled = query * depth**-0.5
    within = height + width < depth
    if within:
        # A window: the bias is a product too, of the query's shares with where the key stands, so
        # it needs no pass.
        scaled = torch.cat([scaled, by_row, by_column], dim=-1)
        places = torch.cat(
            [_stands(height, width, like=query), _stands(width, height, like=query, across=True)],
            dim=-1,
        )
        key = torch.cat([key, places.expand(count, -1, -1)], dim=-1)
    keys = key.transpose(1, 2).contiguous()  # else some kernels would copy it for each piece
    piece = PIECE.get(query.device.type, PIECE_ELSEWHERE) // (query.element_size() * patches)
    rows = min(height, max(1, piece // width))
    batch = min(count, max(1, piece // (rows * width)))
    out = torch.empty_like(query)
    for first in range(0, count, batch):
        some = slice(first, first + batch)
        for top in range(0, height, rows):
            here = slice(top * width, (top + rows) * width)
            scores = torch.bmm(scaled[some, here], keys[some])
            if not within:
                by_place = scores.view(*scores.shape[:2], height, width)
                by_place += by_row[some, here, :, None]
                by_place += by_column[some, here, None, :]
            out[some, here] = torch.bmm(scores.softmax(-1), value[some])
    return out


def _stands(count: int, other: int, *, like: Tensor, across: bool = False) -> Tensor:
    """[H*W, count], 1 where a patch stands in that row (or, ``across``, in that column)."""
    eye = torch.eye(count, device=like.device, dtype=like.dtype)
    return eye.repeat(other, 1) if across else eye.repeat_interleave(other, dim=0)
