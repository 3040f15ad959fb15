"""The network computes what the published code computes."""

from __future__ import annotations

from pathlib import Path

import torch

from ocrd.engine.nn.checkpoint import load_network
from tests.golden.check import check

GOLDEN = Path(__file__).parents[3] / "data/golden"


def test_the_network_agrees_with_the_published_code() -> None:
    differences = check(GOLDEN)
    assert len(differences) == 5
    assert [d for d in differences if not d.within] == []


def test_tiles_one_at_a_time_give_the_features_of_all_together() -> None:
    network = load_network(GOLDEN, files=[GOLDEN / "model.safetensors"])
    tiles = torch.randn(2, 3, 640, 640, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        together = network.encode_views(tiles)
        assert together.shape == (2, 100, network.arch.decoder.hidden_size)
        torch.testing.assert_close(network.encode_tiles(tiles), together, atol=1e-4, rtol=1e-4)
