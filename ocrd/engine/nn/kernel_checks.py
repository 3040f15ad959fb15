"""Which kernels compute the right product on this device.

A kernel that is fast and wrong would win every measurement, and MPS has had operators that return
garbage without an error. Kernels that a device cannot run are found here too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ocrd.engine.nn.experts import EXPERTS_KERNELS
from ocrd.engine.nn.kernels import Matmul

# How far a result may be from the reference, as a share of the reference's largest number: more
# than what bfloat16 rounds away, and less than garbage.
MAX_ERROR = 0.05
# What a kernel raises on a device that cannot run it.
UNSUPPORTED = (RuntimeError, AttributeError)


def correct_matmuls(
    kernels: Mapping[str, Matmul], rows: int, *, weight: Tensor
) -> dict[str, Matmul]:
    """Keep the kernels that agree with ``F.linear`` on random ``rows``.

    Args:
        kernels: By name.
        rows: How many rows to multiply.
        weight: [O, I].
    """
    return {
        name: matmul
        for name, matmul in kernels.items()
        if is_correct(partial(_swapped, matmul, weight), rows, weight=weight)
    }


def _swapped(matmul: Matmul, weight: Tensor, rows: Tensor) -> Tensor:  # noqa: PLR0917 - for partial
    return matmul(rows, weight)


def is_correct(multiply: Callable[[Tensor], Tensor], rows: int, *, weight: Tensor) -> bool:
    """Whether ``multiply`` [n, I] -> [n, O] agrees with ``F.linear`` and ``weight`` [O, I]."""
    given = _random(rows, weight.shape[1], like=weight)
    try:
        return _close(multiply(given), F.linear(given, weight))
    except UNSUPPORTED:
        return False


def correct_experts_kernels(experts: Any, rows: int, *, top_k: int) -> frozenset[str]:
    """Names of the kernels that give what each expert gives by itself, for random ``rows``.

    Args:
        experts: The experts of one layer, as for `loop_experts`.
        rows: How many rows to run.
        top_k: Experts for each row.
    """
    weight = experts.gate_up_proj
    hidden = _random(rows, weight.shape[-1], like=weight)
    index = torch.rand(rows, weight.shape[0], device=weight.device).topk(top_k).indices
    weights = torch.rand(rows, top_k, device=weight.device)
    expected = torch.zeros_like(hidden, dtype=torch.float32)
    for row in range(rows):
        for share, expert in zip(weights[row], index[row].tolist(), strict=True):
            gate, up = F.linear(hidden[row], weight[expert]).chunk(2)
            expected[row] += share * F.linear(experts.act_fn(gate) * up, experts.down_proj[expert])
    correct = set()
    for name, kernel in EXPERTS_KERNELS.items():
        try:
            if _close(kernel(experts, hidden, index, weights), expected):
                correct.add(name)
        except UNSUPPORTED:
            continue
    return frozenset(correct)


def _random(*shape: int, like: Tensor) -> Tensor:
    return torch.randn(*shape, device=like.device, dtype=like.dtype)


def _close(result: Tensor, expected: Tensor) -> bool:
    """NaN compares as false, so it is not close to anything."""
    difference = (result.float() - expected.float()).abs().max()
    return bool(difference <= MAX_ERROR * expected.float().abs().max())
