"""The second eye: SAM's features, seen again by CLIP's layers.

CLIP-L is fed with SAM's feature map in place of its patches, so
only its encoder layers come from transformers; the few lines around them are here.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPVisionConfig
from transformers.models.clip.modeling_clip import CLIPEncoderLayer

from ocrd.checkpoint_format.architecture import MLP_RATIO, ClipConfig
from ocrd.engine.nn.kernels import use_prefill_linear


class ClipEmbeddings(nn.Module):
    """Class token and learnt positions, around features that SAM made."""

    def __init__(self, sizes: ClipConfig) -> None:
        super().__init__()
        self.grid = sizes.grid_size
        self.class_embedding = nn.Parameter(torch.zeros(sizes.hidden_size))
        self.position_embedding = nn.Embedding(sizes.grid_size**2 + 1, sizes.hidden_size)

    def forward(self, features: Tensor) -> Tensor:
        """[N, C, H, W] features -> [N, 1 + H*W, C] tokens with their positions added."""
        count, _, height, width = features.shape
        tokens = features.flatten(2).transpose(1, 2)
        head = self.class_embedding.expand(count, 1, -1)
        return torch.cat([head, tokens], dim=1) + self.positions(height, width)

    def positions(self, height: int, width: int) -> Tensor:
        """The learnt grid, resized bicubic with antialias in float32 where the view is another
        size.
        """
        table = self.position_embedding.weight
        if (height, width) == (self.grid, self.grid):
            return table
        square = table[1:].T.reshape(1, -1, self.grid, self.grid).float()
        resized = F.interpolate(
            square, size=(height, width), mode="bicubic", align_corners=False, antialias=True
        )
        return torch.cat([table[:1], resized.flatten(2)[0].T.to(table.dtype)])


class ClipTransformer(nn.Module):
    def __init__(self, sizes: ClipConfig) -> None:
        super().__init__()
        config = CLIPVisionConfig(
            hidden_size=sizes.hidden_size,
            intermediate_size=MLP_RATIO * sizes.hidden_size,
            num_hidden_layers=sizes.num_layers,
            num_attention_heads=sizes.num_heads,
            hidden_act="quick_gelu",
            layer_norm_eps=1e-5,
        )
        config._attn_implementation = "sdpa"
        self.layers = nn.ModuleList(CLIPEncoderLayer(config) for _ in range(sizes.num_layers))
        use_prefill_linear(self)

    def forward(self, hidden: Tensor) -> Tensor:
        for layer in self.layers:
            hidden = layer(hidden, None)
        return hidden


class ClipEncoder(nn.Module):
    """CLIP's encoder over SAM's feature map; no norm after the last layer, as published."""

    def __init__(self, sizes: ClipConfig) -> None:
        super().__init__()
        self.embeddings = ClipEmbeddings(sizes)
        self.pre_layrnorm = nn.LayerNorm(
            sizes.hidden_size, eps=1e-5
        )  # spelt so in the published checkpoint
        self.transformer = ClipTransformer(sizes)

    def forward(self, features: Tensor) -> Tensor:
        """[N, C, H, W] features -> [N, 1 + H*W, C]."""
        hidden: Tensor = self.transformer(self.pre_layrnorm(self.embeddings(features)))
        return hidden
