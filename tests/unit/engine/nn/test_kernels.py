"""Whichever kernel multiplies, the product is the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from ocrd.engine.nn.checkpoint import load_network
from ocrd.engine.nn.kernels import (
    DECODE_MATMULS,
    DECODE_ROWS,
    PACKED,
    DecodeLinear,
    KernelChoice,
    PackedWeight,
    PrefillLinear,
)
from ocrd.engine.nn.network import Network

GOLDEN = Path(__file__).parents[3] / "data/golden"
needs_onednn = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(),  # type: ignore[no-untyped-call]  # torch has no type for it
    reason="this torch has no oneDNN",
)


@pytest.fixture(scope="module")
def network() -> Network:
    return load_network(GOLDEN, files=[GOLDEN / "model.safetensors"])


def random(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape))).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rows", [1, 2, 3, 8])
@pytest.mark.parametrize("shape", [(64, 32), (12, 20), (7, 9)])
def test_all_kernels_for_decoding_give_the_same_product(
    shape: tuple[int, int], rows: int, dtype: torch.dtype
) -> None:
    weight = random(*shape, dtype=dtype)
    given = random(rows, shape[1], dtype=dtype)
    exact = given.double() @ weight.double().t()
    for name, matmul in DECODE_MATMULS.items():
        product = matmul(given, weight)
        assert product.is_contiguous() and product.dtype == dtype, name
        torch.testing.assert_close(
            product.double(), exact, atol=1e-5 if dtype == torch.float32 else 0.1, rtol=0.02
        )


@needs_onednn
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_packed_weight_gives_the_same_product(dtype: torch.dtype) -> None:
    weight = random(48, 32, dtype=dtype)
    given = random(3, 32, dtype=dtype)
    layer = DecodeLinear(32, 48, bias=False).to(dtype)
    layer.weight.data.copy_(weight)
    layer.kernels = KernelChoice(decode_matmul=dict.fromkeys(DECODE_ROWS, PACKED))
    layer.packed = PackedWeight(weight)
    exact = given.double() @ weight.double().t()
    with torch.inference_mode():
        for shape in ((3, 32), (1, 3, 32), (3, 1, 32)):
            product = layer(given.view(shape))
            assert product.shape == (*shape[:-1], 48)
            torch.testing.assert_close(
                product.view(3, 48).double(),
                exact,
                atol=1e-5 if dtype == torch.float32 else 0.1,
                rtol=0.02,
            )


@needs_onednn
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_onednn_gives_the_same_product_with_bias_and_activation(dtype: torch.dtype) -> None:
    layer = PrefillLinear(24, 40).to(dtype)
    hidden = random(2, 30, 24, dtype=dtype)
    atol = 1e-5 if dtype == torch.float32 else 0.05
    rtol = 1e-4 if dtype == torch.float32 else 0.02
    with torch.inference_mode():
        plain = layer(hidden)
        active = layer.with_gelu(hidden)
        layer.kernels = KernelChoice(prefill_matmul="onednn")
        torch.testing.assert_close(layer(hidden), plain, atol=atol, rtol=rtol)
        torch.testing.assert_close(layer.with_gelu(hidden), active, atol=atol, rtol=rtol)
        torch.testing.assert_close(active, torch.nn.functional.gelu(plain))


def test_every_matrix_of_the_decoder_uses_the_networks_kernels(network: Network) -> None:
    linear = [m for m in network.language_model.modules() if isinstance(m, nn.Linear)]
    assert linear
    for layer in [*linear, network.lm_head]:
        assert isinstance(layer, DecodeLinear) and layer.kernels is network.kernels


def test_every_matrix_of_the_vision_encoders_uses_the_kernel_for_many_rows(
    network: Network,
) -> None:
    encoders = (network.sam_model, network.vision_model)
    linear = [m for encoder in encoders for m in encoder.modules() if isinstance(m, nn.Linear)]
    assert len(linear) > 10
    for layer in linear:
        assert isinstance(layer, PrefillLinear) and layer.kernels is network.kernels


def test_many_rows_do_not_use_a_kernel_for_decoding() -> None:
    layer = DecodeLinear(8, 4, bias=False)
    called: list[int] = []

    def counted(rows: Tensor, weight: Tensor) -> Tensor:
        called.append(len(rows))
        return rows @ weight.t()

    layer.kernels = KernelChoice(decode_matmul=dict.fromkeys(DECODE_ROWS, "transposed"))
    with pytest.MonkeyPatch.context() as patch, torch.inference_mode():
        patch.setitem(DECODE_MATMULS, "transposed", counted)
        for rows in (1, 8, 9):
            layer(random(rows, 8))
    assert called == [1, 8]
