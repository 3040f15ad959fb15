"""Autotuning: choose the fastest kernels for this device, in a second or two.

`kernel_benchmark` measures them on the loaded model; the choices are made here. torch's own kernels
are always candidates, and they stay where too little was measured.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from ocrd.engine.nn.kernel_benchmark import (
    PREFILL_ROWS,
    Speeds,
    SpeedsByRows,
    measure_decode_experts,
    measure_decode_matmul,
    measure_expert_matmul,
    measure_prefill_experts,
    measure_prefill_matmul,
)
from ocrd.engine.nn.kernels import (
    DECODE_ROWS,
    EXPERTS_ROWS,
    PACKED,
    DecodeLinear,
    KernelChoice,
    PackedWeight,
)
from ocrd.engine.nn.network import Network

# The default kernel stays if it reaches this share of the fastest one's speed, because speeds
# differ from run to run.
KEEP_DEFAULT_SHARE = 0.95
# The packed kernel's speed is multiplied by this before it is compared, because its copies of the
# weights take a tenth of the model's memory again.
PACKED_SPEED_FACTOR = 0.85
# Seconds for all measurements. On a machine so busy that they are not enough, the default kernels
# stay for the rest.
BUDGET_S = 4.0
# The same for a model so small that its kernels hardly matter.
SMALL_MODEL_BUDGET_S = 0.3
# Bytes of a decoder for which `BUDGET_S` is allowed in full.
LARGE_DECODER_BYTES = 10**9


@dataclass(frozen=True)
class Throughput:
    """What was measured, with the fields of `KernelChoice`; for the log and ``ocrd doctor``.

    Each speed is of one number of rows and one kernel.
    """

    # GB of weights per second.
    decode_matmul: SpeedsByRows
    # GB of weights per second.
    expert_matmul: SpeedsByRows
    # Rows per second through one matrix.
    prefill_matmul: SpeedsByRows
    # GB of weights per second.
    decode_experts: SpeedsByRows
    # Rows per second through one layer.
    prefill_experts: SpeedsByRows


@dataclass(frozen=True)
class TuningResult:
    """The kernels that were chosen, and what was measured."""

    choice: KernelChoice
    throughput: Throughput


def tune(network: Network, known: TuningResult | None = None) -> TuningResult:
    """Make ``network`` use the fastest kernels for the device and dtype that it has now.

    Args:
        network: With its weights.
        known: The result of an earlier call with the same device and dtype, which is used again.
            Without it the kernels are measured.

    Returns:
        The result in use.
    """
    result = known or _measure(network)
    network.use_kernels(result.choice)
    _pack_weights(network)
    return result


def _measure(network: Network) -> TuningResult:
    deadline = time.monotonic() + _budget_s(network)
    prefill_matmul = measure_prefill_matmul(network, deadline)
    decode_matmul = measure_decode_matmul(network, deadline)
    expert_matmul = measure_expert_matmul(network, deadline)
    choice = KernelChoice(
        prefill_matmul=fastest(prefill_matmul.get(PREFILL_ROWS, {}), "linear"),
        decode_matmul=_fastest_by_rows(decode_matmul, DECODE_ROWS, default="linear"),
        expert_matmul=_fastest_by_rows(expert_matmul, DECODE_ROWS, default="linear"),
    )
    # The loop over experts uses these products, so they are chosen before it is measured.
    network.use_kernels(choice)
    decode_experts = measure_decode_experts(network, deadline)
    prefill_experts = measure_prefill_experts(network, deadline)
    choice = replace(
        choice,
        decode_experts=_fastest_by_rows(decode_experts, EXPERTS_ROWS, default="grouped"),
        prefill_experts=fastest(prefill_experts.get(PREFILL_ROWS, {}), "grouped"),
    )
    return TuningResult(
        choice,
        Throughput(
            decode_matmul=decode_matmul,
            expert_matmul=expert_matmul,
            prefill_matmul=prefill_matmul,
            decode_experts=decode_experts,
            prefill_experts=prefill_experts,
        ),
    )


def _budget_s(network: Network) -> float:
    size: int = sum(p.numel() * p.element_size() for p in network.language_model.parameters())
    share = min(1.0, size / LARGE_DECODER_BYTES)
    return SMALL_MODEL_BUDGET_S + (BUDGET_S - SMALL_MODEL_BUDGET_S) * share


def _fastest_by_rows(
    speeds: SpeedsByRows, numbers: tuple[int, ...], *, default: str
) -> dict[int, str]:
    return {rows: fastest(speeds.get(rows, {}), default) for rows in numbers}


def fastest(speeds: Speeds, default: str) -> str:
    """Name the fastest kernel, with some preference for the default and against packing.

    Args:
        speeds: By kernel; may be empty.
        default: The kernel that stays when nothing was measured or when it is nearly as fast as the
            fastest.
    """
    if not speeds:
        return default
    unpacked = {name: speed for name, speed in speeds.items() if name != PACKED}
    best = max(unpacked, key=lambda name: unpacked[name]) if unpacked else PACKED
    if default in unpacked and unpacked[default] >= KEEP_DEFAULT_SHARE * unpacked[best]:
        best = default
    return PACKED if speeds.get(PACKED, 0.0) * PACKED_SPEED_FACTOR > speeds[best] else best


def _pack_weights(network: Network) -> None:
    """Make the packed copies if the kernels in use need them, and drop them otherwise."""
    needed = PACKED in network.kernels.decode_matmul.values()
    for module in network.modules():
        if isinstance(module, DecodeLinear):
            module.packed = PackedWeight(module.weight) if needed else None
