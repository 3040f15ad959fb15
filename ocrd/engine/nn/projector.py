"""The projector: one linear layer from the vision encoders' features to the decoder's width."""

from __future__ import annotations

from torch import Tensor, nn


class Projector(nn.Module):
    """A linear layer that keeps its published name, ``projector.layers``."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.layers = nn.Linear(in_features, out_features)

    def forward(self, features: Tensor) -> Tensor:
        """[..., in_features] -> [..., out_features]."""
        projected: Tensor = self.layers(features)
        return projected
