"""The decoder's attention.

Torch's own for prompts, two plain products where that is faster or safer.

With one query a page, torch's fused kernel for the CPU takes three times as long in bfloat16 as the
two products that attention is, keys first (1500 positions: 1.6 ms against 0.5 ms a layer); in
float32 1.7 times as long for eight pages.

With a mask the products are used everywhere: torch's fused kernel for MPS gave every page the first
one's mask before pytorch #184180, and what comes of that is finite, so nothing would notice.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

# Under this name transformers' decoder finds `attend`.
ATTENTION = "ocrd"


def attend(  # noqa: PLR0917 - transformers calls it by position
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    scaling: float,
    **options: Any,
) -> tuple[Tensor, None]:
    """[n, heads, t, D] queries, [n, heads, L, D] keys and values -> [n, t, heads, D].

    ``mask``: [n, 1, 1, L], True where there is a key; None for all of them.
    """
    fused = query.device.type != "cpu" and mask is None
    if query.shape[2] > 1 or fused or query.shape[1] != key.shape[1]:
        attended: Tensor = sdpa_attention_forward(
            module, query, key, value, mask, scaling=scaling, **options
        )[0]
        return attended, None
    scores = torch.matmul(key, (query * scaling).transpose(2, 3)).transpose(2, 3)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return torch.matmul(scores.softmax(-1), value).transpose(1, 2), None


ALL_ATTENTION_FUNCTIONS.register(ATTENTION, attend)
