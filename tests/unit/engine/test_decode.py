"""Decoding stops for a reason that it reports."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ocrd.engine.decode import DecodeLimits, decode
from ocrd.engine.errors import NonFiniteLogits
from ocrd.engine.nn.checkpoint import load_network
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
        limits=DecodeLimits(max_new_tokens=50, deadline_s=3),
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


def test_logits_that_become_not_finite_in_the_middle_are_detected(prompt: torch.Tensor) -> None:
    network = load_network(GOLDEN, files=[GOLDEN / "model.safetensors"])
    counts: list[int] = []

    def corrupt(count: int) -> None:
        counts.append(count)
        if count == 40:
            with torch.no_grad():
                network.lm_head.weight[3] = float("nan")

    with pytest.raises(NonFiniteLogits):
        decode(
            network,
            prompt,
            limits=DecodeLimits(max_new_tokens=500, ngram_size=0, stop_repetition=False),
            on_token=corrupt,
            ban_eos=True,
        )
    assert 40 <= len(counts) <= 64


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
