"""The second vision encoder, CLIP-L, which takes SAM's feature map in place of image patches.

Only the encoder layers come from transformers. The embeddings and the norm in front of them are
here, because transformers' CLIP computes its own patches.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPVisionConfig
from transformers.models.clip.modeling_clip import CLIPEncoderLayer

from ocrd.checkpoint_format.architecture import MLP_RATIO, ClipConfig
from ocrd.engine.nn.kernels import use_prefill_linear

NORM_EPS = 1e-5


class ClipEmbeddings(nn.Module):
    """A class token and learned positions, added to SAM's features."""

    def __init__(self, sizes: ClipConfig) -> None:
        super().__init__()
        self.grid_size = sizes.grid_size
        self.class_embedding = nn.Parameter(torch.zeros(sizes.hidden_size))
        self.position_embedding = nn.Embedding(sizes.grid_size**2 + 1, sizes.hidden_size)

    def forward(self, features: Tensor) -> Tensor:
        """Features [N, C, H, W] -> tokens [N, 1 + H*W, C]."""
        count, _, height, width = features.shape
        tokens = features.flatten(2).transpose(1, 2)
        class_token = self.class_embedding.expand(count, 1, -1)
        return torch.cat([class_token, tokens], dim=1) + self.positions(height, width)

    def positions(self, height: int, width: int) -> Tensor:
        """Position embeddings [1 + H*W, C] for a feature map of another size than the learned one.

        As in the published code they are resized in float32, bicubic with antialiasing; the class
        token's position stays.
        """
        learned = self.position_embedding.weight
        if (height, width) == (self.grid_size, self.grid_size):
            return learned
        grid = learned[1:].T.reshape(1, -1, self.grid_size, self.grid_size).float()
        resized = F.interpolate(
            grid, size=(height, width), mode="bicubic", align_corners=False, antialias=True
        )
        return torch.cat([learned[:1], resized.flatten(2)[0].T.to(learned.dtype)])


class ClipTransformer(nn.Module):
    """transformers' CLIP layers: [N, tokens, C] -> [N, tokens, C]."""

    def __init__(self, sizes: ClipConfig) -> None:
        super().__init__()
        config = CLIPVisionConfig(
            hidden_size=sizes.hidden_size,
            intermediate_size=MLP_RATIO * sizes.hidden_size,
            num_hidden_layers=sizes.num_layers,
            num_attention_heads=sizes.num_heads,
            hidden_act="quick_gelu",
            layer_norm_eps=NORM_EPS,
        )
        # transformers' own switch; it has no public setter on a bare config.
        config._attn_implementation = "sdpa"
        self.layers = nn.ModuleList(CLIPEncoderLayer(config) for _ in range(sizes.num_layers))
        use_prefill_linear(self)

    def forward(self, hidden: Tensor) -> Tensor:
        """Run all layers, without a mask."""
        for layer in self.layers:
            hidden = layer(hidden, None)
        return hidden


class ClipEncoder(nn.Module):
    """CLIP over SAM's feature map, without a norm after the last layer, as published."""

    def __init__(self, sizes: ClipConfig) -> None:
        super().__init__()
        self.embeddings = ClipEmbeddings(sizes)
        # Spelt so in the published checkpoint.
        self.pre_layrnorm = nn.LayerNorm(sizes.hidden_size, eps=NORM_EPS)
        self.transformer = ClipTransformer(sizes)

    def forward(self, features: Tensor) -> Tensor:
        """Features [N, C, H, W] -> tokens [N, 1 + H*W, C], the class token first."""
        hidden: Tensor = self.transformer(self.pre_layrnorm(self.embeddings(features)))
        return hidden
