"""The Muon optimizer, for many matrices of one shape together, in a dtype of choice.

torch.optim.Muon always orthogonalises in bfloat16. A CPU without bfloat16 units does that much more
slowly than float32 (measured on 2 cores: 3 s a step instead of 0.1 s). Method and coefficients:
Keller Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, nn

# Of the quintic polynomial in each Newton-Schulz step.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def orthogonalise(matrices: Tensor, dtype: torch.dtype, *, steps: int = 5) -> Tensor:
    """Approximate the nearest orthogonal matrices with Newton-Schulz steps.

    Args:
        matrices: [N, R, C].
        dtype: Of the computation.
        steps: How many.

    Returns:
        [N, R, C], in the dtype of ``matrices``.
    """
    a, b, c = COEFFICIENTS
    is_tall = matrices.shape[-2] > matrices.shape[-1]
    x = (matrices.mT if is_tall else matrices).to(dtype)
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    orthogonal: Tensor = (x.mT if is_tall else x).to(matrices.dtype)
    return orthogonal


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised, with steps of the size that AdamW's would have."""

    def __init__(
        self,
        matrices: Iterable[nn.Parameter],
        lr: float,
        *,
        dtype: torch.dtype,
        momentum: float = 0.95,
        weight_decay: float = 0.02,
    ) -> None:
        """Create the optimizer.

        Args:
            matrices: [R, C], or stacks of experts [E, R, C].
            lr: Learning rate.
            dtype: In which they are orthogonalised.
            momentum: Share of the momentum that remains at each step.
            weight_decay: Relative to the learning rate.
        """
        self.dtype = dtype
        super().__init__(
            list(matrices), {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        )

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # no closure is used
        """Update the parameters that have gradients."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[nn.Parameter]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_shape[parameter.shape].append(parameter)
            for shape, parameters in by_shape.items():
                directions = torch.stack([self._direction(p, group) for p in parameters])
                # Each expert is a matrix of its own.
                matrices = directions.flatten(0, -3)
                updates = orthogonalise(matrices, self.dtype).view(len(parameters), *shape)
                scale = 0.2 * max(shape[-2:]) ** 0.5 * group["lr"]
                decay = 1 - group["lr"] * group["weight_decay"]
                for parameter, update in zip(parameters, updates, strict=True):
                    parameter.mul_(decay).sub_(update, alpha=scale)

    def _direction(self, parameter: nn.Parameter, group: dict[str, float]) -> Tensor:
        """The gradient with Nesterov momentum."""
        assert parameter.grad is not None
        momentum: Tensor = self.state[parameter].setdefault("momentum", torch.zeros_like(parameter))
        momentum.lerp_(parameter.grad, 1 - group["momentum"])
        return parameter.grad.lerp(momentum, group["momentum"])
