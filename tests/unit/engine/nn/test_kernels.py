"""However it is multiplied, the products are the same; and what is chosen is what was fastest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ocrd.engine.nn.autotune import _best, measure, tune
from ocrd.engine.nn.checkpoint import load_network
from ocrd.engine.nn.kernels import (
    EXPERT_KERNELS,
    FEW,
    MATMULS,
    PACKED,
    ROWS,
    DecodeLinear,
    KernelChoice,
    PackedWeight,
    PrefillLinear,
    install_kernels,
    run_experts,
)
from ocrd.engine.nn.network import Network

GOLDEN = Path(__file__).parents[3] / "data/golden"
needs_onednn = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(),  # type: ignore[no-untyped-call]  # torch has no type for it
    reason="this torch has no oneDNN, which packing is for",
)


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    monkeypatch.setattr("ocrd.engine.nn.autotune.A_BIT", 60.0)  # however busy this machine is
    return load_network(GOLDEN, files=[GOLDEN / "model.safetensors"])


def numbers(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape))).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rows", [1, 2, 3, 8])
@pytest.mark.parametrize("shape", [(64, 32), (12, 20), (7, 9)])
def test_all_ways_give_the_same_product(
    shape: tuple[int, int], rows: int, dtype: torch.dtype
) -> None:
    weight = numbers(*shape, dtype=dtype)
    given = numbers(rows, shape[1], dtype=dtype)
    exact = given.double() @ weight.double().t()
    for name, times in MATMULS.items():
        made = times(given, weight)
        assert made.is_contiguous() and made.dtype == dtype, name
        torch.testing.assert_close(
            made.double(), exact, atol=1e-5 if dtype == torch.float32 else 0.1, rtol=0.02
        )


@needs_onednn
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_packed_weight_gives_the_same_product(dtype: torch.dtype) -> None:
    weight = numbers(48, 32, dtype=dtype)
    given = numbers(3, 32, dtype=dtype)
    layer = DecodeLinear(32, 48, bias=False).to(dtype)
    layer.weight.data.copy_(weight)
    layer.ways = KernelChoice(dense=dict.fromkeys(ROWS, PACKED))
    layer.pack = PackedWeight(weight)
    with torch.inference_mode():
        for shape in ((3, 32), (1, 3, 32), (3, 1, 32)):
            made = layer(given.view(shape))
            assert made.shape == (*shape[:-1], 48)
            exact = given.double() @ weight.double().t()
            torch.testing.assert_close(made.view(3, 48).double(), exact, atol=1e-5 if dtype == torch.float32 else 0.1,
                                       rtol=0.02)  # fmt: skip


@pytest.mark.parametrize("rows", [1, 2, 8, 30])
def test_the_experts_give_the_same_in_each_way(network: Network, rows: int) -> None:
    layer: Any = network.language_model.layers[-1]
    experts = layer.mlp.experts
    hidden = numbers(rows, experts.hidden_dim)
    with torch.inference_mode():
        _, weights, index = layer.mlp.gate(hidden)
        expected = torch.zeros_like(hidden)  # each row by itself, as the published code says it
        for row in range(rows):
            for weight, expert in zip(weights[row], index[row], strict=True):
                gate, up = (experts.gate_up_proj[expert] @ hidden[row]).chunk(2)
                expected[row] += weight * (experts.down_proj[expert] @ (experts.act_fn(gate) * up))
        for way in EXPERT_KERNELS:
            network.ways.few = dict.fromkeys(FEW, way)
            network.ways.many = way
            made = run_experts(experts, hidden, index, weights)
            torch.testing.assert_close(made, expected, atol=1e-5, rtol=1e-4)


def test_the_ways_reach_every_large_matrix_of_the_decoder(network: Network) -> None:
    linear = [m for m in network.language_model.modules() if isinstance(m, nn.Linear)]
    assert linear and all(
        isinstance(m, DecodeLinear) and m.ways is network.ways for m in [*linear, network.lm_head]
    )


def test_the_tokens_are_the_same_after_measuring(network: Network) -> None:
    from ocrd.engine.decode import DecodeLimits, decode

    with torch.inference_mode():
        prompt = network.language_model.embed_tokens(torch.arange(5, 17))[None]
    limits = DecodeLimits(max_new_tokens=30, ngram_size=0, stop_repetition=False)
    before = decode(network, prompt, limits=limits, ban_eos=True)
    tuned = tune(network)
    assert tuned.ways["dense"].keys() == set(ROWS) and set(tuned.ways["few"].values()) <= set(
        EXPERT_KERNELS
    )
    assert decode(network, prompt, limits=limits, ban_eos=True) == before
    for way in MATMULS:  # and in ways that were not chosen here
        network.ways.dense = network.ways.expert = dict.fromkeys(ROWS, way)
        network.ways.few = dict.fromkeys(FEW, "by-expert")
        assert decode(network, prompt, limits=limits, ban_eos=True) == before


def test_all_that_can_be_done_here_is_measured(network: Network) -> None:
    figures = measure(network)
    for rows in ROWS:
        assert (
            set(MATMULS) <= figures.dense[rows].keys()
            and set(MATMULS) == figures.expert[rows].keys()
        )
    one, eight = figures.few.values()
    assert set(one) == set(EXPERT_KERNELS)
    assert set(eight) >= {way for way, speed in one.items() if speed == max(one.values())}
    assert all("batched" not in speeds for speeds in figures.many.values())


@needs_onednn
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_onednn_gives_the_same_product_with_bias_and_activation(dtype: torch.dtype) -> None:
    layer = PrefillLinear(24, 40).to(dtype)
    hidden = numbers(2, 30, 24, dtype=dtype)
    with torch.inference_mode():
        plain = layer(hidden)
        active = layer.with_gelu(hidden)
        layer.ways = KernelChoice(prompt="onednn")
        off, share = (1e-5, 1e-4) if dtype == torch.float32 else (0.05, 0.02)
        torch.testing.assert_close(layer(hidden), plain, atol=off, rtol=share)
        torch.testing.assert_close(layer.with_gelu(hidden), active, atol=off, rtol=share)
        torch.testing.assert_close(active, torch.nn.functional.gelu(plain))


def test_the_eyes_large_matrices_go_the_way_of_many_rows(network: Network) -> None:
    eye = [
        m
        for part in (network.sam_model, network.vision_model)
        for m in part.modules()
        if isinstance(m, nn.Linear)
    ]
    assert len(eye) > 10 and all(
        isinstance(m, PrefillLinear) and m.ways is network.ways for m in eye
    )


def test_a_way_that_a_device_cannot_do_is_left_out(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> Tensor:
        raise NotImplementedError(
            "The operator 'aten::_grouped_mm' is not currently implemented for the MPS device"
        )

    monkeypatch.setitem(EXPERT_KERNELS, "grouped", refused)
    tuned = tune(network)
    assert all("grouped" not in speeds for speeds in tuned.figures["few"].values())
    assert tuned.ways["many"] == "by-expert" and "grouped" not in tuned.ways["few"].values()


def test_a_way_that_is_fast_and_wrong_is_left_out(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(rows: Tensor, weight: Tensor) -> Tensor:
        return rows.new_zeros(rows.shape[0], weight.shape[0])

    def mixed_up(experts: Any, hidden: Tensor, index: Tensor, weights: Tensor) -> Tensor:
        result: Tensor = grouped(
            experts, hidden, index.flip(0) if len(hidden) > 1 else index, weights
        )
        return result

    grouped = EXPERT_KERNELS["grouped"]
    monkeypatch.setitem(MATMULS, "wide", nothing)
    monkeypatch.setitem(EXPERT_KERNELS, "by-expert", mixed_up)
    figures = measure(network)
    assert all(
        "wide" not in speeds for speeds in (*figures.dense.values(), *figures.expert.values())
    )
    assert "by-expert" in figures.few[1] and "by-expert" not in figures.few[8] | figures.many[256]


def test_a_machine_too_busy_to_measure_keeps_torchs_own_ways(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ocrd.engine.nn.autotune.A_BIT", -1.0)
    assert tune(network).ways == vars(KernelChoice())
    assert tune(network).figures["many"] == {256: {}}


@pytest.mark.parametrize(
    ("speeds", "best"),
    [
        ({}, "linear"),
        ({"linear": 10, "wide": 10.4}, "linear"),  # too little to tell
        ({"linear": 10, "wide": 20, "split": 30}, "split"),
        ({"linear": 10, "wide": 30, PACKED: 34}, "wide"),  # not worth the memory
        ({"linear": 10, "wide": 30, PACKED: 40}, PACKED),
        ({"wide": 3}, "wide"),
    ],
)
def test_the_fastest_is_chosen_if_it_is_worth_it(speeds: dict[str, float], best: str) -> None:
    assert _best(speeds, "linear") == best


def test_what_was_measured_once_is_used_again(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuned = tune(network)
    network.ways = install_kernels(network, network.language_model)

    def never(*_: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr("ocrd.engine.nn.autotune.measure", never)
    assert tune(network, tuned) is tuned
    assert vars(network.ways) == tuned.ways


def test_many_rows_are_left_to_torch(network: Network) -> None:
    layer = DecodeLinear(8, 4, bias=False)
    called: list[int] = []

    def times(rows: Tensor, weight: Tensor) -> Tensor:
        called.append(len(rows))
        return rows @ weight.t()

    layer.ways = KernelChoice(dense=dict.fromkeys(ROWS, "wide"))
    with pytest.MonkeyPatch.context() as patch, torch.inference_mode():
        patch.setitem(MATMULS, "wide", times)
        for rows in (1, 8, 9):
            layer(numbers(rows, 8))
    assert called == [1, 8]
