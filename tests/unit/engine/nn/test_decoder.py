"""The decoder with a cache gives the logits that it gives without one."""

from __future__ import annotations

from pathlib import Path

import torch

from ocrd.engine.nn.checkpoint import load_network
from ocrd.engine.nn.decoder import run_decoder
from ocrd.engine.nn.kv_cache import KVCache

GOLDEN = Path(__file__).parents[3] / "data/golden"


def test_one_token_at_a_time_gives_the_logits_of_all_together() -> None:
    network = load_network(GOLDEN, files=[GOLDEN / "model.safetensors"])
    num_layers = network.arch.decoder.num_layers
    device = network.device
    with torch.inference_mode():
        prompt = network.language_model.embed_tokens(torch.arange(5, 17))[None]
        cache = KVCache(num_layers, 1, initial_length=64)
        cache.begin_prefill(prompt.shape[1], device)
        together = network.lm_head(run_decoder(network.language_model, prompt, cache=cache))
        cache = KVCache(num_layers, 1, initial_length=2)  # so small that it must grow on the way
        cache.begin_prefill(1, device)
        steps = [network.next_logits(prompt[:, :1], cache=cache)]
        for i in range(1, prompt.shape[1]):
            cache.begin_decode(device)
            steps.append(network.next_logits(prompt[:, i : i + 1], cache=cache))
    assert cache.lengths == [prompt.shape[1]]
    torch.testing.assert_close(torch.cat(steps), together[0], atol=1e-5, rtol=1e-4)
