"""Decoding stops for a reason that it reports."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ocrd.engine.decode import DecodeLimits, decode
from ocrd.engine.nn.attention import attend
from ocrd.engine.nn.checkpoint import load_network
from ocrd.engine.nn.decoder import run_decoder
from ocrd.engine.nn.kv_cache import SlotCache
from ocrd.engine.nn.network import Network
from ocrd.errors import EngineError

GOLDEN = Path(__file__).parents[2] / "data/golden"


@pytest.fixture(scope="module")
def network() -> Network:
    return load_network(GOLDEN, files=[GOLDEN / "model.safetensors"])


@pytest.fixture
def prompt(network: Network) -> torch.Tensor:
    embedded: torch.Tensor = network.language_model.embed_tokens(torch.arange(5, 17))[None]
    return embedded


def test_one_token_at_a_time_gives_the_logits_of_all_at_once(
    network: Network, prompt: torch.Tensor
) -> None:
    layers = network.arch.decoder.num_layers
    device = network.device
    with torch.inference_mode():
        cache = SlotCache(layers, 1, room=64)
        cache.begin_prompt(prompt.shape[1], device)
        whole = network.lm_head(run_decoder(network.language_model, prompt, cache=cache))
        cache = SlotCache(layers, 1, room=2)  # so small that it must grow on the way
        cache.begin_prompt(1, device)
        steps = [network.next_logits(prompt[:, :1], cache=cache)]
        for i in range(1, prompt.shape[1]):
            cache.begin_step(device)
            steps.append(network.next_logits(prompt[:, i : i + 1], cache=cache))
    assert cache.lengths == [prompt.shape[1]]
    torch.testing.assert_close(torch.cat(steps), whole[0], atol=1e-5, rtol=1e-4)


def test_it_stops_at_the_length_limit_and_reports_it(
    network: Network, prompt: torch.Tensor
) -> None:
    done = decode(network, prompt, limits=DecodeLimits(max_new_tokens=6), ban_eos=True)
    assert (len(done.token_ids), done.stop_reason) == (6, "length")


def test_it_stops_at_the_deadline_and_keeps_what_it_has(
    network: Network, prompt: torch.Tensor
) -> None:
    ticks = iter(range(100))
    done = decode(
        network,
        prompt,
        limits=DecodeLimits(max_new_tokens=50, seconds=3),
        clock=lambda: next(ticks),
        ban_eos=True,
    )
    assert done.stop_reason == "deadline"
    assert 1 <= len(done.token_ids) < 10


def test_it_stops_at_the_end_token_and_leaves_it_out(
    network: Network, prompt: torch.Tensor
) -> None:
    first = decode(network, prompt, limits=DecodeLimits(max_new_tokens=1), ban_eos=True).token_ids[
        0
    ]
    eos = network.arch.decoder.eos_token_id
    head = network.lm_head.weight.clone()
    network.lm_head.weight.data[[eos, first]] = head[[first, eos]]
    try:
        assert decode(network, prompt, limits=DecodeLimits(max_new_tokens=4)).stop_reason == "eos"
        assert decode(network, prompt, limits=DecodeLimits(max_new_tokens=4)).token_ids == ()
    finally:
        network.lm_head.weight.data.copy_(head)


def test_logits_that_are_not_finite_are_an_error(network: Network, prompt: torch.Tensor) -> None:
    with pytest.raises(EngineError, match="not finite"):
        decode(network, prompt * float("nan"), limits=DecodeLimits(max_new_tokens=4))


def test_the_guard_changes_a_loop(network: Network, prompt: torch.Tensor) -> None:
    free = decode(
        network, prompt, limits=DecodeLimits(max_new_tokens=120, ngram_size=0), ban_eos=True
    ).token_ids
    guarded = decode(
        network,
        prompt,
        limits=DecodeLimits(max_new_tokens=120, ngram_size=3, ngram_window=90),
        ban_eos=True,
    ).token_ids
    assert len(guarded) == 120
    for end in range(90, 120):
        recent = guarded[end - 90 : end]
        grams = [recent[i : i + 3] for i in range(len(recent) - 2)]
        assert len(set(grams)) == len(grams)
    assert free != guarded


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_attention_of_one_query_is_torchs_own_and_masks_missing_keys(
    dtype: torch.dtype,
) -> None:
    generator = torch.Generator().manual_seed(2)
    query, key, value = (
        torch.randn(3, 4, t, 8, generator=generator).to(dtype) for t in (1, 20, 20)
    )
    mask = torch.arange(20)[None] < torch.tensor([[20], [7], [1]])
    for some in (None, mask[:, None, None]):
        ours = attend(torch.nn.Module(), query, key, value, some, scaling=0.3)[0]
        theirs = torch.nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=some, scale=0.3
        )
        exact = 1e-5 if dtype == torch.float32 else 0.03
        torch.testing.assert_close(ours, theirs.transpose(1, 2), atol=exact, rtol=exact)
