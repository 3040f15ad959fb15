"""SAM in pieces is SAM: against transformers' own layers, at every size of piece."""

from __future__ import annotations

import pytest
import torch
from transformers.models.deepseek_ocr2.modeling_deepseek_ocr2 import DeepseekOcr2SamVisionLayer

from ocrd.checkpoint_format.architecture import SamConfig
from ocrd.engine.nn import sam

SHAPE = SamConfig(
    image_size=256,
    hidden_size=24,
    num_heads=3,
    num_layers=3,
    global_attn_layers=(1,),
    window_size=6,
    neck_channels=16,
    downsample_channels=(16, 16),
)


@pytest.mark.parametrize("piece", [1, 3000, 20_000, 1 << 30])
@pytest.mark.parametrize("size", [(64, 64), (128, 192), (256, 256)])
def test_pieces_of_any_size_give_what_transformers_layers_give(
    monkeypatch: pytest.MonkeyPatch, piece: int, size: tuple[int, int]
) -> None:
    """64 pixels are less than a window, 256 not a whole number of them."""
    monkeypatch.setattr(sam, "PIECE", {"cpu": piece})
    torch.manual_seed(1)
    encoder = sam.build_sam(SHAPE).eval()
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


def test_no_piece_is_larger_than_it_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    product = torch.bmm

    def noted(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        made = product(a, b)
        sizes.append(made.numel() * made.element_size())
        return made

    monkeypatch.setattr(sam, "PIECE", {"cpu": 100_000})
    monkeypatch.setattr(torch, "bmm", noted)
    query, key, value = (torch.randn(6, 16 * 16, 8) for _ in range(3))
    sam.attend_in_pieces(
        query,
        key,
        value=value,
        over_rows=torch.randn(16, 16, 8),
        over_columns=torch.randn(16, 16, 8),
    )
    assert max(sizes) <= 100_000 and len(sizes) > 12
