"""The decoder's attention.

torch's own for prompts; two plain products where that is faster or safer.

With one query for each page, torch's fused CPU kernel takes three times as long in bfloat16 as the
two products that attention consists of, with the keys first (1500 positions: 1.6 ms instead of 0.5
ms a layer). In float32 it takes 1.7 times as long for eight pages.

With a mask, the products are used on every device: before pytorch #184180, torch's fused kernel for
MPS gave every page the mask of the first one. The wrong result is finite, so nothing would notice.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

# The name under which transformers' decoder finds `decoder_attention`.
ATTENTION_IMPLEMENTATION = "ocrd"


def decoder_attention(  # noqa: PLR0917 - transformers calls it by position
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    scaling: float,
    **options: Any,
) -> tuple[Tensor, None]:
    """Attend to the keys with scaled dot products.

    Args:
        module: transformers' attention layer.
        query: [n, heads, T, D].
        key: [n, KV heads, L, D].
        value: As ``key``.
        mask: [n, 1, 1, L], True where there is a key; None when there are keys everywhere.
        scaling: The scores' factor.
        options: For transformers' function.

    Returns:
        [n, T, heads, D], and None in place of the attention weights.
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


ALL_ATTENTION_FUNCTIONS.register(ATTENTION_IMPLEMENTATION, decoder_attention)
