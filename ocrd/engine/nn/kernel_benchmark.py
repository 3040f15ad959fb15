"""Measure the kernels on the loaded weights.

For decoding: GB of weights that a kernel multiplies in a second. For prefill: rows in a second.
Kernels that this device cannot run, or that give a wrong result, are left out, and so are those for
which no time was left.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor

from ocrd.engine.nn.experts import EXPERTS_KERNELS
from ocrd.engine.nn.kernel_checks import (
    UNSUPPORTED,
    correct_experts_kernels,
    correct_matmuls,
    is_correct,
)
from ocrd.engine.nn.kernels import (
    DECODE_MATMULS,
    DECODE_ROWS,
    EXPERTS_ROWS,
    PACKED,
    PREFILL_MATMULS,
    DecodeLinear,
    PackedWeight,
)
from ocrd.engine.nn.network import Network

W = TypeVar("W")

# What each kernel reached, by its name.
Speeds = dict[str, float]
# The same by the number of rows.
SpeedsByRows = dict[int, Speeds]

# Rows of the prompt that the kernels for prefill are measured with.
PREFILL_ROWS = 256
# Rows with which a prefill kernel is checked. More than `DECODE_ROWS`.
CHECKED_PREFILL_ROWS = 16
# Not for prefill: the batched kernel copies the experts of each token, 14 GB for 256 tokens of the
# full-size model in float32.
NOT_FOR_PREFILL = frozenset({"batched"})
# A kernel is run once more than this, because the first run warms it up; the fastest run counts.
TIMED_RUNS = 2
# A kernel that takes so many times as long as the fastest one, twice in a row, is not run again.
GIVE_UP_RATIO = 4.0
# A kernel for experts that reaches less than this share of the fastest one's speed for one page is
# not tried for eight: there it could take seconds.
MIN_SHARE_FOR_MORE_ROWS = 0.7
# Rows of the output layer that are measured; it is the largest matrix of all.
LM_HEAD_ROWS = 8192
# Layers whose experts are measured.
MAX_EXPERT_LAYERS = 4
# Matrices that are multiplied one after the other, so that none is still in a processor's cache
# when its turn comes again.
MAX_MATRICES = 8


@torch.inference_mode()
def measure_prefill_matmul(network: Network, deadline: float) -> SpeedsByRows:
    """Measure rows per second through one matrix of the decoder.

    Args:
        network: With its weights.
        deadline: A time of ``time.monotonic``; no kernel is started after it.

    Returns:
        The speed of each kernel, by the number of rows and the kernel's name.
    """
    weight = _decoder_weights(network)[0]
    kernels = correct_matmuls(PREFILL_MATMULS, CHECKED_PREFILL_ROWS, weight=weight)
    runs = {name: _each(matmul, PREFILL_ROWS, weights=[weight]) for name, matmul in kernels.items()}
    speeds = _measure(runs, PREFILL_ROWS, device=network.device, deadline=deadline)
    return {PREFILL_ROWS: speeds}


@torch.inference_mode()
def measure_decode_matmul(network: Network, deadline: float) -> SpeedsByRows:
    """Measure GB/s of weights that every token reads; arguments as in `measure_prefill_matmul`."""
    decoder = _decoder_weights(network)
    weights = [network.lm_head.weight[:LM_HEAD_ROWS], *decoder]
    packed = _pack(weights)
    speeds = {}
    for rows in DECODE_ROWS:
        kernels = correct_matmuls(DECODE_MATMULS, rows, weight=decoder[0])
        runs = {name: _each(matmul, rows, weights=weights) for name, matmul in kernels.items()}
        if packed and is_correct(packed[-1].matmul, rows, weight=weights[-1]):
            runs[PACKED] = _each(_multiply_packed, rows, weights=weights, operands=packed)
        speeds[rows] = _measure(runs, _gigabytes(weights), device=network.device, deadline=deadline)
    return speeds


@torch.inference_mode()
def measure_expert_matmul(network: Network, deadline: float) -> SpeedsByRows:
    """Measure GB/s of single experts' weights; empty for a network without experts."""
    layers = _expert_layers(network)
    if not layers:
        return {}
    weights = list(layers[0].gate_up_proj[:MAX_MATRICES])
    speeds = {}
    for rows in DECODE_ROWS:
        kernels = correct_matmuls(DECODE_MATMULS, rows, weight=weights[0])
        runs = {name: _each(matmul, rows, weights=weights) for name, matmul in kernels.items()}
        speeds[rows] = _measure(runs, _gigabytes(weights), device=network.device, deadline=deadline)
    return speeds


@torch.inference_mode()
def measure_decode_experts(network: Network, deadline: float) -> SpeedsByRows:
    """Measure GB/s of all chosen experts' weights; empty for a network without experts."""
    layers = _expert_layers(network)
    sizes = network.arch.decoder
    top_k = sizes.num_experts_per_token
    speeds: SpeedsByRows = {}
    slow: frozenset[str] = frozenset()
    for rows in EXPERTS_ROWS if layers else ():
        chosen = min(sizes.num_experts, rows * top_k)
        read = sum(
            _gigabytes([layer.gate_up_proj[0], layer.down_proj[0]]) * chosen for layer in layers
        )
        names = correct_experts_kernels(layers[0], rows, top_k=top_k) - slow
        runs = _experts_runs(layers, rows, top_k=top_k, names=names)
        speeds[rows] = _measure(runs, read, device=network.device, deadline=deadline)
        best = max(speeds[rows].values(), default=0.0)
        slow = frozenset(
            name for name, speed in speeds[rows].items() if speed < MIN_SHARE_FOR_MORE_ROWS * best
        )
    return speeds


@torch.inference_mode()
def measure_prefill_experts(network: Network, deadline: float) -> SpeedsByRows:
    """Measure rows per second through one layer's experts; empty for a network without experts."""
    layers = _expert_layers(network)[:1]
    if not layers:
        return {}
    top_k = network.arch.decoder.num_experts_per_token
    correct = correct_experts_kernels(layers[0], EXPERTS_ROWS[-1] + 1, top_k=top_k)
    runs = _experts_runs(layers, PREFILL_ROWS, top_k=top_k, names=correct - NOT_FOR_PREFILL)
    speeds = _measure(runs, PREFILL_ROWS, device=network.device, deadline=deadline)
    return {PREFILL_ROWS: speeds}


def _decoder_weights(network: Network) -> list[Tensor]:
    """Some of the matrices that every token reads."""
    linear = [m.weight for m in network.language_model.modules() if isinstance(m, DecodeLinear)]
    return linear[:MAX_MATRICES]


def _expert_layers(network: Network) -> list[Any]:
    """The experts of some layers."""
    mlps: list[Any] = [layer.mlp for layer in network.language_model.layers]
    return [mlp.experts for mlp in mlps if hasattr(mlp, "experts")][:MAX_EXPERT_LAYERS]


def _pack(weights: Sequence[Tensor]) -> list[PackedWeight]:
    """Packed copies; none where torch cannot pack: it needs a CPU and oneDNN."""
    available = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]  # torch has no type for it
    if weights[0].device.type != "cpu" or not available:
        return []
    try:
        return [PackedWeight(weight) for weight in weights]
    except RuntimeError:  # a dtype that oneDNN does not have on this processor
        return []


def _multiply_packed(rows: Tensor, packed: PackedWeight) -> Tensor:
    return packed.matmul(rows)


def _each(
    matmul: Callable[[Tensor, W], Tensor],
    rows: int,
    *,
    weights: Sequence[Tensor],
    operands: Sequence[W] | None = None,
) -> Callable[[], None]:
    """One product with each of ``operands``, which are the ``weights`` unless given."""
    inputs = [
        torch.ones(rows, weight.shape[1], device=weight.device, dtype=weight.dtype)
        for weight in weights
    ]
    multiplied: Sequence[Any] = weights if operands is None else operands

    def run() -> None:
        for given, operand in zip(inputs, multiplied, strict=True):
            matmul(given, operand)

    return run


def _experts_runs(
    layers: Sequence[Any], rows: int, *, top_k: int, names: frozenset[str]
) -> dict[str, Callable[[], None]]:
    """A run of each named kernel over ``layers``, for rows that are routed evenly."""
    weight = layers[0].gate_up_proj
    hidden = torch.ones(rows, weight.shape[-1], device=weight.device, dtype=weight.dtype)
    index = (torch.arange(rows * top_k, device=weight.device) % weight.shape[0]).view(rows, top_k)
    weights = torch.full((rows, top_k), 1 / top_k, device=weight.device)

    def run(name: str) -> None:
        for experts in layers:
            EXPERTS_KERNELS[name](experts, hidden, index, weights)

    return {name: partial(run, name) for name in EXPERTS_KERNELS if name in names}


def _measure(
    runs: Mapping[str, Callable[[], None]],
    amount: float,
    *,
    device: torch.device,
    deadline: float,
) -> Speeds:
    """``amount`` per second of each run, until the deadline."""
    speeds: Speeds = {}
    best = float("inf")
    for name, run in runs.items():
        if time.monotonic() > deadline:
            break
        try:
            seconds = _time(run, device, give_up_s=GIVE_UP_RATIO * best)
        except UNSUPPORTED:
            continue
        best = min(best, seconds)
        speeds[name] = round(amount / seconds, 2)
    return speeds


def _time(run: Callable[[], None], device: torch.device, *, give_up_s: float) -> float:
    """Seconds of the fastest run; of the first two when both took longer than ``give_up_s``."""
    best = float("inf")
    for attempt in range(1 + TIMED_RUNS):
        started = time.perf_counter()
        run()
        synchronize(device)
        best = min(best, time.perf_counter() - started)
        if attempt == 1 and best > give_up_s:
            break
    return best


def synchronize(device: torch.device) -> None:
    """Wait until the device has finished its work."""
    if device.type != "cpu":
        getattr(torch, device.type).synchronize()


def _gigabytes(weights: Sequence[Tensor]) -> float:
    return sum(weight.numel() * weight.element_size() for weight in weights) / 1e9
