"""The fastest kernels that compute the right product are chosen, and no token changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ocrd.engine.decode import DecodeLimits, decode
from ocrd.engine.nn.autotune import fastest, tune
from ocrd.engine.nn.checkpoint import load_network
from ocrd.engine.nn.experts import EXPERTS_KERNELS
from ocrd.engine.nn.kernels import DECODE_MATMULS, DECODE_ROWS, EXPERTS_ROWS, PACKED, KernelChoice
from ocrd.engine.nn.network import Network

GOLDEN = Path(__file__).parents[3] / "data/golden"
BUDGET = "ocrd.engine.nn.autotune.SMALL_MODEL_BUDGET_S"


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    monkeypatch.setattr(BUDGET, 60.0)  # however busy this machine is
    return load_network(GOLDEN, files=[GOLDEN / "model.safetensors"])


def test_the_tokens_are_the_same_after_tuning(network: Network) -> None:
    with torch.inference_mode():
        prompt = network.language_model.embed_tokens(torch.arange(5, 17))[None]
    limits = DecodeLimits(max_new_tokens=30, ngram_size=0, stop_repetition=False)
    before = decode(network, prompt, limits=limits, ban_eos=True)
    choice = tune(network).choice
    assert choice.decode_matmul.keys() == set(DECODE_ROWS)
    assert set(choice.decode_experts.values()) <= set(EXPERTS_KERNELS)
    assert decode(network, prompt, limits=limits, ban_eos=True) == before
    for kernel in DECODE_MATMULS:  # and with kernels that were not chosen here
        matmul = dict.fromkeys(DECODE_ROWS, kernel)
        experts = dict.fromkeys(EXPERTS_ROWS, "loop")
        network.use_kernels(
            replace(choice, decode_matmul=matmul, expert_matmul=matmul, decode_experts=experts)
        )
        assert decode(network, prompt, limits=limits, ban_eos=True) == before


def test_every_kernel_that_this_device_can_run_is_measured(network: Network) -> None:
    throughput = tune(network).throughput
    for rows in DECODE_ROWS:
        assert set(DECODE_MATMULS) <= throughput.decode_matmul[rows].keys()
        assert set(DECODE_MATMULS) == throughput.expert_matmul[rows].keys()
    one, eight = (throughput.decode_experts[rows] for rows in EXPERTS_ROWS)
    assert set(one) == set(EXPERTS_KERNELS)
    assert set(eight) >= {kernel for kernel, speed in one.items() if speed == max(one.values())}
    assert all("batched" not in speeds for speeds in throughput.prefill_experts.values())


def test_a_kernel_that_a_device_cannot_run_is_left_out(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*_: object) -> Tensor:
        raise NotImplementedError(
            "The operator 'aten::_grouped_mm' is not currently implemented for the MPS device"
        )

    monkeypatch.setitem(EXPERTS_KERNELS, "grouped", unsupported)
    result = tune(network)
    assert all("grouped" not in speeds for speeds in result.throughput.decode_experts.values())
    assert result.choice.prefill_experts == "loop"
    assert "grouped" not in result.choice.decode_experts.values()


def test_a_kernel_that_is_fast_and_wrong_is_left_out(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    def zeros(rows: Tensor, weight: Tensor) -> Tensor:
        return rows.new_zeros(rows.shape[0], weight.shape[0])

    def mixed_up(experts: Any, hidden: Tensor, index: Tensor, weights: Tensor) -> Tensor:
        wrong = index.flip(0) if len(hidden) > 1 else index
        result: Tensor = grouped(experts, hidden, wrong, weights)
        return result

    grouped = EXPERTS_KERNELS["grouped"]
    monkeypatch.setitem(DECODE_MATMULS, "transposed", zeros)
    monkeypatch.setitem(EXPERTS_KERNELS, "loop", mixed_up)
    throughput = tune(network).throughput
    for speeds in (*throughput.decode_matmul.values(), *throughput.expert_matmul.values()):
        assert "transposed" not in speeds
    assert "loop" in throughput.decode_experts[1]
    assert "loop" not in throughput.decode_experts[8] | throughput.prefill_experts[256]


def test_a_machine_too_busy_to_measure_keeps_the_default_kernels(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BUDGET, -1.0)
    result = tune(network)
    assert result.choice == network.kernels == KernelChoice()
    assert result.throughput.prefill_experts == {256: {}}


@pytest.mark.parametrize(
    ("speeds", "best"),
    [
        ({}, "linear"),
        ({"linear": 10, "transposed": 10.4}, "linear"),  # the difference is too small
        ({"linear": 10, "transposed": 20, "chunked": 30}, "chunked"),
        ({"linear": 10, "transposed": 30, PACKED: 34}, "transposed"),  # not worth the memory
        ({"linear": 10, "transposed": 30, PACKED: 40}, PACKED),
        ({"transposed": 3}, "transposed"),
    ],
)
def test_the_fastest_is_chosen_if_it_is_worth_it(speeds: dict[str, float], best: str) -> None:
    assert fastest(speeds, "linear") == best


def test_what_was_measured_once_is_used_again(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = tune(network)
    network.use_kernels(KernelChoice())

    def never(*_: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr("ocrd.engine.nn.autotune.measure_decode_matmul", never)
    assert tune(network, result) is result
    assert network.kernels == result.choice
