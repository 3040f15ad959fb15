"""The ways in which the decoder multiplies.

Few rows with a large matrix, and the rows of each expert.

Decoding reads every weight that a token needs once, so it is as fast as memory if the
multiplication lets it. It often does not: in float32 on x86, torch hands one row to a BLAS routine
that uses one thread (15 GB/s where two threads read 33 to 50), and a few rows to one made for many
(8 GB/s). The same product said in another way is two to four times as fast there, and no faster
elsewhere. So `measure` tries them on the loaded model, and `KernelChoice` holds what won.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.integrations.moe import (
    ALL_EXPERTS_FUNCTIONS,
    batched_mm_experts_forward,
    grouped_mm_experts_forward,
)

# Pages that are decoded at once, as far as it is measured; 3 goes as 4 does. More rows are many:
# `linear`.
ROWS = (1, 2, 4, 8)
# The same for the experts of a layer, which one page and several may want in different ways.
FEW = (1, 8)
# Under this name transformers' mixture-of-experts layer finds `run_experts`.
EXPERTS = "ocrd"

# Rows [n, I] and a weight [O, I] -> [n, O].
Matmul = Callable[[Tensor, Tensor], Tensor]


def wide(rows: Tensor, weight: Tensor) -> Tensor:
    """The weight first: a product of many rows with few columns."""
    return (weight @ rows.t()).t().contiguous()


def split(rows: Tensor, weight: Tensor) -> Tensor:
    """The weight in pieces of its rows, as a batch, which is shared among the threads."""
    outputs, inputs = weight.shape
    pieces = next(count for count in (8, 4, 2, 1) if outputs % count == 0)
    columns = rows.t().expand(pieces, inputs, rows.shape[0])
    made = torch.bmm(weight.view(pieces, outputs // pieces, inputs), columns)
    return made.reshape(outputs, rows.shape[0]).t().contiguous()


MATMULS: dict[str, Matmul] = {"linear": F.linear, "wide": wide, "split": split}


def onednn(  # noqa: PLR0917 - called like torch.nn.functional.linear
    rows: Tensor, weight: Tensor, bias: Tensor | None = None, *, then: str = "none"
) -> Tensor:
    """oneDNN's product, which torch itself takes only for bfloat16; ``then`` may be ``gelu``.

    In float32 it is 10 to 20% faster than the BLAS on an AMD processor. Raises RuntimeError where
    there is none.
    """
    algorithm = "none" if then == "gelu" else ""
    product: Tensor = torch.ops.mkldnn._linear_pointwise(rows, weight, bias, then, [], algorithm)
    return product


# Ways for many rows: a prompt's tokens, a view's patches.
PROMPT: dict[str, Callable[..., Tensor]] = {"linear": F.linear, "onednn": onednn}
# `PackedWeight`, for the weights that every token reads; experts are too many to be held twice.
PACKED = "packed"


class PackedWeight:
    """A weight in the order of oneDNN's kernels, which torch would otherwise bring about at each
    product.
    """

    def __init__(self, weight: Tensor) -> None:
        """Raises RuntimeError where this torch has no oneDNN."""
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight, ROWS[-1])

    def times(self, rows: Tensor) -> Tensor:
        return onednn(rows, self._weight)


@dataclass
class KernelChoice:
    """What is used for how many rows. Without a measurement: torch's own."""

    # For the weights that every token reads, by the number of rows.
    dense: dict[int, str] = field(default_factory=lambda: dict.fromkeys(ROWS, "linear"))
    # For one expert's weights, by the number of rows that chose it.
    expert: dict[int, str] = field(default_factory=lambda: dict.fromkeys(ROWS, "linear"))
    # For many rows, here and in the eye.
    prompt: str = "linear"
    # For the experts of a layer while decoding, by the number of pages.
    few: dict[int, str] = field(default_factory=lambda: dict.fromkeys(FEW, "grouped"))
    # The same at prefill.
    many: str = "grouped"

    def for_expert(self, rows: int) -> Matmul:
        return MATMULS[self.expert[_bucket(rows)]] if rows <= ROWS[-1] else PROMPT[self.prompt]


def _bucket(rows: int) -> int:
    return next(most for most in ROWS if rows <= most)


class DecodeLinear(nn.Linear):
    """A linear layer that multiplies few rows in the way that `KernelChoice` names. Bias is not for it."""

    ways: KernelChoice | None = None
    pack: PackedWeight | None = None

    def forward(self, hidden: Tensor) -> Tensor:
        """[..., I] -> [..., O]."""
        rows = hidden.numel() // hidden.shape[-1]
        if self.ways is None:
            return super().forward(hidden)
        if rows > ROWS[-1]:
            return PROMPT[self.ways.prompt](hidden, self.weight)
        way = self.ways.dense[_bucket(rows)]
        flat = hidden.reshape(rows, -1)
        made = (
            self.pack.times(flat)
            if way == PACKED and self.pack
            else MATMULS.get(way, F.linear)(flat, self.weight)
        )
        return made.view(*hidden.shape[:-1], -1)


class PrefillLinear(nn.Linear):
    """A linear layer of the eye, which always has many rows."""

    ways: KernelChoice | None = None

    def forward(self, hidden: Tensor) -> Tensor:
        """[..., I] -> [..., O]."""
        way = self.ways.prompt if self.ways else "linear"
        return PROMPT[way](hidden, self.weight, self.bias)

    def with_gelu(self, hidden: Tensor) -> Tensor:
        """The layer, and GELU behind it."""
        if self.ways and self.ways.prompt == "onednn":
            return onednn(hidden, self.weight, bias=self.bias, then="gelu")
        return F.gelu(self.forward(hidden))


def use_prefill_linear(eye: nn.Module) -> None:
    """Let the linear layers of ``eye`` be `PrefillLinear`: the same parameters."""
    for module in eye.modules():
        if type(module) is nn.Linear:
            module.__class__ = PrefillLinear


def by_expert(experts: Any, hidden: Tensor, index: Tensor, weights: Tensor) -> Tensor:  # noqa: PLR0917 - transformers calls it by position
    """Each expert in turn over the rows that chose it: [n, D], [n, k], [n, k] -> [n, D].

    The host has to know who chose whom, so on a GPU each layer waits for it once.
    """
    rows, chosen = index.shape
    ways: KernelChoice = experts.ways
    gate_up = experts.gate_up_proj
    down = experts.down_proj
    by = index.flatten().argsort(stable=True)
    counts = torch.bincount(index.flatten(), minlength=gate_up.shape[0]).tolist()
    taken = hidden[by // chosen]
    made = torch.empty_like(taken)
    start = 0
    for expert, count in enumerate(counts):
        if count == 0:
            continue
        times = ways.for_expert(count)
        gate, up = times(taken[start : start + count], gate_up[expert]).chunk(2, dim=-1)
        made[start : start + count] = times(experts.act_fn(gate) * up, down[expert])
        start += count
    weighted = made.new_empty(made.shape, dtype=weights.dtype)
    weighted[by] = made * weights.flatten()[by, None]
    return weighted.view(rows, chosen, -1).sum(1).to(hidden.dtype)


# Each expert in turn; transformers' grouped product; its batched one, which copies each row's
# experts together.
EXPERT_KERNELS = {
    "by-expert": by_expert,
    "grouped": grouped_mm_experts_forward,
    "batched": batched_mm_experts_forward,
}


def run_experts(experts: Any, hidden: Tensor, index: Tensor, weights: Tensor) -> Tensor:  # noqa: PLR0917 - transformers calls it by position
    ways: KernelChoice = experts.ways
    rows = hidden.shape[0]
    way = ways.few[next(most for most in FEW if rows <= most)] if rows <= FEW[-1] else ways.many
    result: Tensor = EXPERT_KERNELS[way](experts, hidden, index, weights)
    return result


ALL_EXPERTS_FUNCTIONS.register(EXPERTS, run_experts)


def install_kernels(network: nn.Module, decoder: nn.Module) -> KernelChoice:
    """Let everything in ``network`` multiply in the ways of the `KernelChoice` that is given back."""
    for module in decoder.modules():
        if type(module) is nn.Linear and module.bias is None:
            module.__class__ = DecodeLinear
    return use_kernels(network, KernelChoice())


def use_kernels(network: nn.Module, ways: KernelChoice) -> KernelChoice:
    """From now on ``network`` multiplies in these."""
    for module in network.modules():
        if isinstance(module, DecodeLinear | PrefillLinear) or hasattr(module, "gate_up_proj"):
            setattr(module, "ways", ways)  # noqa: B010 - of three classes, one of them transformers'
    return ways
