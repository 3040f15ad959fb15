"""SAM in chunks gives what transformers' own layers give, whatever the size of a chunk."""

from __future__ import annotations

import pytest
import torch
from transformers.models.deepseek_ocr2.modeling_deepseek_ocr2 import DeepseekOcr2SamVisionLayer

from ocrd.checkpoint_format.architecture import SamConfig
from ocrd.engine.nn import sam

SIZES = SamConfig(
    image_size=256,
    hidden_size=24,
    num_heads=3,
    num_layers=3,
    global_attn_layers=(1,),
    window_size=6,
    neck_channels=16,
    downsample_channels=(16, 16),
)


@pytest.mark.parametrize("chunk_bytes", [1, 3000, 20_000, 1 << 30])
@pytest.mark.parametrize("size", [(64, 64), (128, 192), (256, 256)])
def test_chunks_of_any_size_give_what_transformers_layers_give(
    monkeypatch: pytest.MonkeyPatch, chunk_bytes: int, size: tuple[int, int]
) -> None:
    """64 pixels are less than a window; 256 pixels are not a whole number of windows."""
    monkeypatch.setattr(sam, "CHUNK_BYTES_ON_CPU", chunk_bytes)
    torch.manual_seed(1)
    encoder = sam.build_sam(SIZES).eval()
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    pixels = torch.randn(2, 3, *size)
    with torch.inference_mode():
        ours = encoder(pixels).last_hidden_state
        for layer in encoder.layers:
            layer.__class__ = DeepseekOcr2SamVisionLayer
        theirs = encoder(pixels).last_hidden_state
    assert ours.shape == (2, 16, size[0] // 64, size[1] // 64)
    torch.testing.assert_close(ours, theirs, atol=2e-4 * float(theirs.abs().max()), rtol=1e-3)


def test_no_chunk_is_larger_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    bmm = torch.bmm

    def recorded(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        product = bmm(a, b)
        sizes.append(product.numel() * product.element_size())
        return product

    monkeypatch.setattr(sam, "CHUNK_BYTES_ON_CPU", 100_000)
    monkeypatch.setattr(torch, "bmm", recorded)
    query, key, value = (torch.randn(6, 16 * 16, 8) for _ in range(3))
    rel_pos_h = torch.randn(16, 16, 8)
    rel_pos_w = torch.randn(16, 16, 8)
    sam.chunked_attention(query, key, value=value, rel_pos_h=rel_pos_h, rel_pos_w=rel_pos_w)
    assert max(sizes) <= 100_000 and len(sizes) > 12
