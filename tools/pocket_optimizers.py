"""The pocket model's optimizers and learning rate."""

from __future__ import annotations

import time

import torch
from torch import nn

from ocrd.engine.nn.network import Network
from tools.muon import Muon
from tools.pocket_losses import AuxiliaryHeads


def faster_dtype() -> torch.dtype:
    """bfloat16 if this machine has units for it, else float32.

    Measured, because the difference is a hundredfold.
    """
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        matrix = torch.ones(768, 768, dtype=dtype)
        torch.mm(matrix, matrix)
        started = time.perf_counter()
        torch.mm(matrix, matrix)
        seconds[dtype] = time.perf_counter() - started
    return min(seconds, key=lambda dtype: seconds[dtype])


def build_optimizers(
    network: Network, heads: AuxiliaryHeads, *, rate: float, dtype: torch.dtype
) -> list[torch.optim.Optimizer]:
    """Muon for the hidden matrices, which learn about twice as much with it; AdamW for the rest."""
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = list(heads.parameters())
    for name, parameter in network.named_parameters():
        is_hidden_matrix = (
            parameter.dim() in (2, 3)
            and ".layers." in name
            and "rel_pos" not in name
            and ".gate.weight" not in name
        )
        (matrices if is_hidden_matrix else others).append(parameter)
    return [
        Muon(matrices, lr=rate, dtype=dtype),
        torch.optim.AdamW(others, lr=rate, betas=(0.9, 0.98), weight_decay=0.01),
    ]


def rate_factor(done: float) -> float:
    """The learning rate as a share of its peak, when this share of the run is done.

    It rises over the first 1%, stays, and falls linearly over the last 40%.
    """
    return min(1.0, done / 0.01) * min(1.0, max(0.02, (1 - done) / 0.4))
