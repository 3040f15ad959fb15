"""Muon, many matrices of one shape at a time, in whichever precision this machine multiplies
faster.

torch.optim.Muon always orthogonalises in bfloat16, which a CPU without bfloat16 units does a
hundred times slower than float32 (measured on 2 cores: 3 s a step against 0.1 s). Method and
coefficients: Keller Jordan et al., "Muon", 2024.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, nn

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def orthogonalised(matrices: Tensor, dtype: torch.dtype, *, steps: int = 5) -> Tensor:
    """The nearest orthogonal matrices to [N, R, C], roughly.

    Five Newton-Schulz steps in ``dtype``.
    """
    a, b, c = _COEFFICIENTS
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = (matrices.mT if tall else matrices).to(dtype)
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    done: Tensor = (x.mT if tall else x).to(matrices.dtype)
    return done


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised; steps scaled to the size that AdamW's would have."""

    def __init__(
        self,
        matrices: Iterable[nn.Parameter],
        lr: float,
        *,
        dtype: torch.dtype,
        momentum: float = 0.95,
        weight_decay: float = 0.02,
    ) -> None:
        self.dtype = dtype
        super().__init__(
            list(matrices), {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        )

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # no closure is ever given
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[nn.Parameter]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_shape[parameter.shape].append(parameter)
            for shape, parameters in by_shape.items():
                directions = []
                for parameter in parameters:
                    assert parameter.grad is not None
                    momentum = self.state[parameter].setdefault(
                        "momentum", torch.zeros_like(parameter)
                    )
                    momentum.lerp_(parameter.grad, 1 - group["momentum"])
                    directions.append(parameter.grad.lerp(momentum, group["momentum"]))
                # Experts come as [E, R, C], each one a matrix of its own.
                stacked = torch.stack(directions).flatten(0, -3)
                scale = 0.2 * max(shape[-2:]) ** 0.5 * group["lr"]
                updates = orthogonalised(stacked, self.dtype).view(len(parameters), *shape)
                for parameter, update in zip(parameters, updates, strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"]).sub_(
                        update, alpha=scale
                    )
