"""The experts of a decoder layer: three kernels that compute the same.

transformers has two: the *grouped* matrix product, and the *batched* one, which copies the weights
of each row's experts together. The *loop* here runs one expert after the other. Which one is the
fastest depends on the device and on the number of rows, so `autotune` measures them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.integrations.moe import (
    ALL_EXPERTS_FUNCTIONS,
    batched_mm_experts_forward,
    grouped_mm_experts_forward,
)

from ocrd.engine.nn.kernels import KernelChoice

# The name under which transformers' mixture-of-experts layer finds `run_experts`.
EXPERTS_IMPLEMENTATION = "ocrd"


def loop_experts(experts: Any, hidden: Tensor, index: Tensor, weights: Tensor) -> Tensor:  # noqa: PLR0917 - transformers calls it by position
    """Run each expert on the rows that are routed to it, one expert after the other.

    The host needs to know which rows those are, so on a GPU each layer waits for it once.

    Args:
        experts: transformers' module, with ``gate_up_proj`` [E, 2I, D], ``down_proj`` [E, D, I],
            ``act_fn`` and our ``kernels``.
        hidden: [n, D].
        index: The k experts of each row, [n, k].
        weights: Their weights, [n, k].

    Returns:
        [n, D].
    """
    rows, top_k = index.shape
    kernels: KernelChoice = experts.kernels
    gate_up = experts.gate_up_proj
    down = experts.down_proj
    order = index.flatten().argsort(stable=True)
    counts = torch.bincount(index.flatten(), minlength=gate_up.shape[0]).tolist()
    routed = hidden[order // top_k]
    outputs = torch.empty_like(routed)
    start = 0
    for expert, count in enumerate(counts):
        if count == 0:
            continue
        here = slice(start, start + count)
        matmul = kernels.matmul_of_expert(count)
        gate, up = matmul(routed[here], gate_up[expert]).chunk(2, dim=-1)
        outputs[here] = matmul(experts.act_fn(gate) * up, down[expert])
        start += count
    weighted = outputs.new_empty(outputs.shape, dtype=weights.dtype)
    weighted[order] = outputs * weights.flatten()[order, None]
    return weighted.view(rows, top_k, -1).sum(1).to(hidden.dtype)


# By the names that logs and ``ocrd doctor`` show.
EXPERTS_KERNELS = {
    "loop": loop_experts,
    "grouped": grouped_mm_experts_forward,
    "batched": batched_mm_experts_forward,
}


def run_experts(experts: Any, hidden: Tensor, index: Tensor, weights: Tensor) -> Tensor:  # noqa: PLR0917 - transformers calls it by position
    """Run a layer's experts with the kernel in use; arguments and result as in `loop_experts`."""
    kernels: KernelChoice = experts.kernels
    kernel = EXPERTS_KERNELS[kernels.experts_kernel(hidden.shape[0])]
    result: Tensor = kernel(experts, hidden, index, weights)
    return result


ALL_EXPERTS_FUNCTIONS.register(EXPERTS_IMPLEMENTATION, run_experts)
