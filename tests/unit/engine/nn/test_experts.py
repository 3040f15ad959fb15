"""Whichever kernel runs the experts of a layer, the result is the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from ocrd.engine.nn.checkpoint import load_network
from ocrd.engine.nn.experts import EXPERTS_KERNELS, run_experts
from ocrd.engine.nn.kernels import EXPERTS_ROWS, KernelChoice

GOLDEN = Path(__file__).parents[3] / "data/golden"


@pytest.mark.parametrize("rows", [1, 2, 8, 30])
def test_every_kernel_gives_what_each_row_gets_from_its_experts(rows: int) -> None:
    network = load_network(GOLDEN, files=[GOLDEN / "model.safetensors"])
    layer: Any = network.language_model.layers[-1]
    experts = layer.mlp.experts
    generator = torch.Generator().manual_seed(rows)
    hidden = torch.randn(rows, experts.hidden_dim, generator=generator)
    with torch.inference_mode():
        _, weights, index = layer.mlp.gate(hidden)
        expected = torch.zeros_like(hidden)  # row by row, as in the published code
        for row in range(rows):
            for weight, expert in zip(weights[row], index[row], strict=True):
                gate, up = (experts.gate_up_proj[expert] @ hidden[row]).chunk(2)
                expected[row] += weight * (experts.down_proj[expert] @ (experts.act_fn(gate) * up))
        for kernel in EXPERTS_KERNELS:
            network.use_kernels(
                KernelChoice(
                    decode_experts=dict.fromkeys(EXPERTS_ROWS, kernel), prefill_experts=kernel
                )
            )
            result = run_experts(experts, hidden, index, weights)
            torch.testing.assert_close(result, expected, atol=1e-5, rtol=1e-4)
