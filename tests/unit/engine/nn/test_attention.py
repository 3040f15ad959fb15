"""Our attention gives what torch's own gives."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from ocrd.engine.nn.attention import decoder_attention


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_attention_of_one_query_is_torchs_own_and_masks_missing_keys(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(2)
    query, key, value = (
        torch.randn(3, 4, length, 8, generator=generator).to(dtype) for length in (1, 20, 20)
    )
    uneven = torch.arange(20)[None] < torch.tensor([[20], [7], [1]])
    tolerance = 1e-5 if dtype == torch.float32 else 0.03
    for mask in (None, uneven[:, None, None]):
        ours = decoder_attention(torch.nn.Module(), query, key, value, mask, scaling=0.3)[0]
        theirs = scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=0.3)
        torch.testing.assert_close(ours, theirs.transpose(1, 2), atol=tolerance, rtol=tolerance)
