"""Matrix multiplication: several kernels for the same product, and which of them is in use.

Decoding reads every weight that a token needs once, so it could be as fast as memory. With torch's
default kernel it often is not: in float32 on x86, torch gives a single row to a BLAS routine that
uses one thread (15 GB/s where two threads read 33 to 50), and a few rows to one that is made for
many (8 GB/s). The same product computed differently is two to four times as fast there, and no
faster elsewhere. So `autotune` measures the kernels on the loaded model, and `KernelChoice` holds
the fastest ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Decoding multiplies one row for each page. These are the numbers of rows for which a kernel is
# measured and chosen; a number in between uses the kernel of the next one (3 is as fast as 4). More
# rows than the last count as prefill.
DECODE_ROWS = (1, 2, 4, 8)
# The same for the kernels that run a layer's experts.
EXPERTS_ROWS = (1, 8)

# Rows [n, I] and a weight [O, I] -> [n, O].
Matmul = Callable[[Tensor, Tensor], Tensor]


def transposed(rows: Tensor, weight: Tensor) -> Tensor:
    """Multiply the weight by the rows as columns: a product of many rows with few columns."""
    return (weight @ rows.t()).t().contiguous()


def chunked(rows: Tensor, weight: Tensor) -> Tensor:
    """Multiply chunks of the weight's rows as one batch, which torch shares among its threads."""
    outputs, inputs = weight.shape
    chunks = next(count for count in (8, 4, 2, 1) if outputs % count == 0)
    columns = rows.t().expand(chunks, inputs, rows.shape[0])
    product = torch.bmm(weight.view(chunks, outputs // chunks, inputs), columns)
    return product.reshape(outputs, rows.shape[0]).t().contiguous()


def onednn(  # noqa: PLR0917 - called like torch.nn.functional.linear
    rows: Tensor, weight: Tensor, bias: Tensor | None = None, *, activation: str = "none"
) -> Tensor:
    """Multiply with oneDNN, which torch itself uses only for bfloat16.

    In float32 it is 10 to 20% faster than the BLAS on an AMD processor.

    Args:
        rows: [..., I].
        weight: [O, I], or the same weight in oneDNN's order.
        bias: [O].
        activation: What is applied to the product: ``none`` or ``gelu``.

    Returns:
        [..., O].

    Raises:
        RuntimeError: There is no oneDNN for this device or dtype.
    """
    algorithm = "none" if activation == "gelu" else ""
    product: Tensor = torch.ops.mkldnn._linear_pointwise(
        rows, weight, bias, activation, [], algorithm
    )
    return product


# Kernels for few rows, by the names that logs and ``ocrd doctor`` show.
DECODE_MATMULS: dict[str, Matmul] = {
    "linear": F.linear,
    "transposed": transposed,
    "chunked": chunked,
}
# Kernels for many rows: a prompt's tokens, a view's patches.
PREFILL_MATMULS: dict[str, Callable[..., Tensor]] = {"linear": F.linear, "onednn": onednn}
# One more kernel for few rows: `PackedWeight.matmul`. It is for the weights that every token reads;
# there are too many experts to keep a second copy of them.
PACKED = "packed"


class PackedWeight:
    """A copy of a weight in the order that oneDNN's kernels need.

    Without it torch would reorder the weight for each product.
    """

    def __init__(self, weight: Tensor) -> None:
        """Copy ``weight`` [O, I].

        Raises:
            RuntimeError: There is no oneDNN for this dtype.
        """
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight, DECODE_ROWS[-1])

    def matmul(self, rows: Tensor) -> Tensor:
        """[n, I] -> [n, O]."""
        return onednn(rows, self._weight)


def _default(rows: tuple[int, ...], kernel: str) -> Callable[[], dict[int, str]]:
    return lambda: dict.fromkeys(rows, kernel)


@dataclass(frozen=True)
class KernelChoice:
    """The kernels in use, by name. The defaults are torch's and transformers' own."""

    # For the weights that every token reads, while decoding: by the number of rows.
    decode_matmul: dict[int, str] = field(default_factory=_default(DECODE_ROWS, "linear"))
    # For one expert's weights, while decoding: by the number of rows routed to that expert.
    expert_matmul: dict[int, str] = field(default_factory=_default(DECODE_ROWS, "linear"))
    # For more rows, in the decoder and in the vision encoders.
    prefill_matmul: str = "linear"
    # For all experts of a layer, while decoding: by the number of rows.
    decode_experts: dict[int, str] = field(default_factory=_default(EXPERTS_ROWS, "grouped"))
    # For all experts of a layer, for more rows.
    prefill_experts: str = "grouped"

    def matmul_of_expert(self, rows: int) -> Matmul:
        """The kernel for one expert's weights and as many rows."""
        if rows > DECODE_ROWS[-1]:
            return PREFILL_MATMULS[self.prefill_matmul]
        return DECODE_MATMULS[self.expert_matmul[round_up(rows, DECODE_ROWS)]]

    def experts_kernel(self, rows: int) -> str:
        """The kernel for all experts of a layer and as many rows, by its name."""
        if rows > EXPERTS_ROWS[-1]:
            return self.prefill_experts
        return self.decode_experts[round_up(rows, EXPERTS_ROWS)]


def round_up(rows: int, measured: tuple[int, ...]) -> int:
    """The smallest of the ``measured`` numbers of rows that is at least ``rows``."""
    return next(number for number in measured if rows <= number)


class DecodeLinear(nn.Linear):
    """A linear layer of the decoder, without bias. It uses the kernels of ``kernels``."""

    kernels = KernelChoice()
    # For the kernel `PACKED`.
    packed: PackedWeight | None = None

    def forward(self, hidden: Tensor) -> Tensor:
        """[..., I] -> [..., O]."""
        rows = hidden.numel() // hidden.shape[-1]
        if rows > DECODE_ROWS[-1]:
            return PREFILL_MATMULS[self.kernels.prefill_matmul](hidden, self.weight)
        kernel = self.kernels.decode_matmul[round_up(rows, DECODE_ROWS)]
        flat = hidden.reshape(rows, -1)
        if kernel != PACKED:
            product = DECODE_MATMULS[kernel](flat, self.weight)
        elif self.packed is not None:
            product = self.packed.matmul(flat)
        else:
            product = F.linear(flat, self.weight)
        return product.view(*hidden.shape[:-1], -1)


class PrefillLinear(nn.Linear):
    """A linear layer of the vision encoders, which always has many rows."""

    kernels = KernelChoice()

    def forward(self, hidden: Tensor) -> Tensor:
        """[..., I] -> [..., O]."""
        return PREFILL_MATMULS[self.kernels.prefill_matmul](hidden, self.weight, self.bias)

    def with_gelu(self, hidden: Tensor) -> Tensor:
        """The layer followed by GELU: [..., I] -> [..., O]."""
        if self.kernels.prefill_matmul == "onednn":
            return onednn(hidden, self.weight, bias=self.bias, activation="gelu")
        return F.gelu(self.forward(hidden))


def use_decode_linear(decoder: nn.Module) -> None:
    """Turn the linear layers without bias into `DecodeLinear`, with the same parameters."""
    for module in decoder.modules():
        if type(module) is nn.Linear and module.bias is None:
            module.__class__ = DecodeLinear


def use_prefill_linear(encoder: nn.Module) -> None:
    """Turn all linear layers into `PrefillLinear`, with the same parameters."""
    for module in encoder.modules():
        if type(module) is nn.Linear:
            module.__class__ = PrefillLinear


def use_kernels(network: nn.Module, choice: KernelChoice) -> None:
    """Make every linear layer and every layer's experts use ``choice`` from now on."""
    for module in network.modules():
        if isinstance(module, DecodeLinear | PrefillLinear) or hasattr(module, "gate_up_proj"):
            setattr(module, "kernels", choice)  # noqa: B010 - of three classes, one is transformers'
