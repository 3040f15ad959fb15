"""The first vision encoder, SAM's ViT, with its attention computed in chunks.

A view of 1024 x 1024 pixels has 4096 patches. In the four layers with global attention, the scores
and their relative-position bias are 4096 x 4096 x 12 heads: 800 MB each in float32, written and
read several times. Here a chunk of the scores is made, used and discarded while it is still in the
processor's cache. In the other layers, which attend within windows, the padding of the last windows
is the same everywhere, so it is not computed.

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

# Most bytes of scores in one chunk. On a CPU it stays in the cache from one operation to the next.
CHUNK_BYTES_ON_CPU = 4 << 20
# On a GPU each chunk costs kernel launches, so there are few.
CHUNK_BYTES_ON_GPU = 128 << 20


def build_sam(sizes: SamConfig) -> DeepseekOcr2SamVisionEncoder:
    """Build SAM's ViT with its neck and two stride-2 convolutions; its weights are not loaded.

    Returns:
        A module that encodes [N, 3, S, S] -> [N, C, S/64, S/64].
    """
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
    # transformers' own switch; it has no public setter on a bare config.
    config._attn_implementation = "sdpa"
    encoder = DeepseekOcr2SamVisionEncoder(config)
    for layer in encoder.layers:
        layer.__class__ = ChunkedSamLayer  # the same parameters, another forward pass
    use_prefill_linear(encoder)
    return encoder


class ChunkedSamLayer(DeepseekOcr2SamVisionLayer):  # type: ignore[misc]  # transformers is untyped
    """One layer of the encoder: [N, H, W, C] -> [N, H, W, C]."""

    def forward(self, hidden: Tensor) -> Tensor:
        """Attention and MLP, each with its norm and its residual."""
        qkv = self.attn.qkv(self.layer_norm1(hidden))
        attended = self._windowed_attention(qkv) if self.window_size else self._attention(qkv)
        hidden = hidden + self.attn.proj(attended)
        # lin1's own activation: one pass less where the product can apply it.
        mlp: Tensor = self.mlp.lin2(self.mlp.lin1.with_gelu(self.layer_norm2(hidden)))
        return hidden + mlp

    def _windowed_attention(self, qkv: Tensor) -> Tensor:
        """Attention within windows: queries, keys and values [N, H, W, 3C] -> [N, H, W, C]."""
        count, height, width, channels = qkv.shape
        side = self.window_size
        rows = -(-height // side)
        columns = -(-width // side)
        if (rows * side, columns * side) != (height, width):
            # The padding is zero before the projection, so after it there is only the bias.
            padded = self.attn.qkv.bias.expand(count, rows * side, columns * side, -1).clone()
            padded[:, :height, :width] = qkv
            qkv = padded
        windows = qkv.view(count, rows, side, columns, side, channels).transpose(2, 3)
        attended = self._attention(windows.reshape(-1, side, side, channels))
        attended = attended.view(count, rows, columns, side, side, -1).transpose(2, 3)
        return attended.reshape(count, rows * side, columns * side, -1)[:, :height, :width]

    def _attention(self, qkv: Tensor) -> Tensor:
        """Attention among all patches: queries, keys and values [N, H, W, 3C] -> [N, H, W, C]."""
        count, height, width, _ = qkv.shape
        heads = self.attn.num_attention_heads
        query, key, value = (
            qkv.view(count, height * width, 3, heads, -1)
            .permute(2, 0, 3, 1, 4)
            .reshape(3, count * heads, height * width, -1)
        )
        attended = chunked_attention(
            query,
            key,
            value=value,
            rel_pos_h=self.attn.get_rel_pos(height, height, self.attn.rel_pos_h),
            rel_pos_w=self.attn.get_rel_pos(width, width, self.attn.rel_pos_w),
        )
        by_patch = attended.view(count, heads, height, width, -1).permute(0, 2, 3, 1, 4)
        return by_patch.reshape(count, height, width, -1)


def chunked_attention(
    query: Tensor, key: Tensor, *, value: Tensor, rel_pos_h: Tensor, rel_pos_w: Tensor
) -> Tensor:
    """Attention with decomposed relative-position bias, a chunk of the scores at a time.

    The bias of a query at (row, column) for a key at (row', column') is
    ``query . rel_pos_h[row, row'] + query . rel_pos_w[column, column']``: MViTv2's (Li et al.,
    2022, arXiv:2112.01526), as SAM uses it.

    Args:
        query: [B, H*W, D], one head in each of the B.
        key: As ``query``.
        value: As ``query``.
        rel_pos_h: [H, H, D], by the query's and the key's row.
        rel_pos_w: [W, W, D], by the query's and the key's column.

    Returns:
        [B, H*W, D].
    """
    count, patches, depth = query.shape
    height = rel_pos_h.shape[0]
    width = rel_pos_w.shape[0]
    grid = query.view(count, height, width, depth)
    bias_h = torch.einsum("bhwd,hkd->bhwk", grid, rel_pos_h).reshape(count, patches, height)
    bias_w = torch.einsum("bhwd,wkd->bhwk", grid, rel_pos_w).reshape(count, patches, width)
    scaled = query * depth**-0.5
    in_product = height + width < depth
    if in_product:
        # In a window the bias is cheaper as a part of the product: the query is extended by its
        # biases, and the key by one-hot vectors that select the ones for its row and column.
        scaled = torch.cat([scaled, bias_h, bias_w], dim=-1)
        key = torch.cat([key, _one_hot_positions(key, height, width=width)], dim=-1)
    keys = key.transpose(1, 2).contiguous()  # else some kernels would copy it for each chunk
    rows, batch = _chunk_size(query, height, width=width)
    attended = torch.empty_like(query)
    for first in range(0, count, batch):
        some = slice(first, first + batch)
        for top in range(0, height, rows):
            here = slice(top * width, (top + rows) * width)
            scores = torch.bmm(scaled[some, here], keys[some])
            if not in_product:
                grid_scores = scores.view(*scores.shape[:2], height, width)
                grid_scores += bias_h[some, here, :, None]
                grid_scores += bias_w[some, here, None, :]
            attended[some, here] = torch.bmm(scores.softmax(-1), value[some])
    return attended


def _chunk_size(query: Tensor, height: int, *, width: int) -> tuple[int, int]:
    """(rows of patches, heads) whose scores are computed at a time; at least (1, 1)."""
    max_bytes = CHUNK_BYTES_ON_CPU if query.device.type == "cpu" else CHUNK_BYTES_ON_GPU
    count, patches, _ = query.shape
    max_queries = max_bytes // (query.element_size() * patches)
    rows = min(height, max(1, max_queries // width))
    return rows, min(count, max(1, max_queries // (rows * width)))


def _one_hot_positions(key: Tensor, height: int, *, width: int) -> Tensor:
    """The row and the column of each key, one-hot: [B, H*W, H + W]."""
    row = torch.eye(height, device=key.device, dtype=key.dtype).repeat_interleave(width, dim=0)
    column = torch.eye(width, device=key.device, dtype=key.dtype).repeat(height, 1)
    return torch.cat([row, column], dim=-1).expand(key.shape[0], -1, -1)
