"""Which of the `ways` to multiply is fastest on this device, measured on the loaded model in
about a second.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ocrd.engine.nn.kernels import (
    EXPERT_KERNELS,
    FEW,
    MATMULS,
    PACKED,
    PROMPT,
    ROWS,
    DecodeLinear,
    PackedWeight,
)
from ocrd.engine.nn.network import Network

W = TypeVar("W")
# Tokens at once that stand for a prompt.
PREFILL = 256
# Not for a prompt: it copies each token's experts, 14 GB for 256 tokens at full size in float32.
TOO_MUCH = frozenset({"batched"})
# torch's own way stays where another is faster by less than this: figures differ from run to run.
GOOD_ENOUGH = 0.95
# A packed copy takes a tenth of the model's memory again, so it has to be faster than this against
# the best other.
WORTH_PACKING = 0.85
REPEATS = 2
# A way that takes so many times the best one's time, twice in a row, is not run again.
HOPELESS = 4.0
# A way of running experts that reaches less than this of the best one's speed for one page is not
# tried for eight.
BEHIND = 0.7
# Of the largest number: how far a product may be from torch's own.
CLOSE = 0.05
# Seconds for all of it, and for a model so small that it hardly matters how it multiplies. On a
# machine so busy that they do not suffice, torch's own ways stay for the rest.
PATIENCE = 4.0
A_BIT = 0.3
# Bytes of the decoder from which on it matters in full.
LARGE = 10**9
# Rows of the output layer, the largest matrix of all, that stand for it.
SOME_OF_THE_HEAD = 8192
SOME_LAYERS = 4
# Matrices that are multiplied in turn, so that none lies in a cache from the last time.
SPREAD_OVER = 8


@dataclass(frozen=True)
class Timings:
    """What was measured, for the log and the doctor.

    GB of weights per second; of a prompt, tokens a second in a layer.

    By the part of the decoder, the rows, and the way.
    """

    dense: dict[int, dict[str, float]]
    expert: dict[int, dict[str, float]]
    prompt: dict[int, dict[str, float]]
    few: dict[int, dict[str, float]]
    many: dict[int, dict[str, float]]


@dataclass(frozen=True)
class TuningResult:
    """What was chosen, and why."""

    ways: dict[str, Any]
    figures: dict[str, Any]


def tune(network: Network, known: TuningResult | None = None) -> TuningResult:
    """Let ``network`` use what is fastest where it is now.

    Measured, or ``known`` from an earlier measurement there.

    A way that this device cannot do is left out; one that is always there is torch's own.
    """
    ways = network.ways
    if known is not None:
        for name, chosen in known.ways.items():
            setattr(ways, name, chosen)
        _pack(network)
        return known
    figures = measure(network)
    ways.dense = {rows: _best(figures.dense.get(rows, {}), "linear") for rows in ROWS}
    ways.expert = {rows: _best(figures.expert.get(rows, {}), "linear") for rows in ROWS}
    ways.prompt = _best(next(iter(figures.prompt.values()), {}), "linear")
    ways.few = {rows: _best(figures.few.get(rows, {}), "grouped") for rows in FEW}
    ways.many = _best(next(iter(figures.many.values()), {}), "grouped")
    _pack(network)
    return TuningResult(asdict(ways), asdict(figures))


@torch.inference_mode()
def measure(network: Network) -> Timings:
    """Each way that this device can do, on the loaded weights.

    Leaves the best for one expert's rows in use.
    """
    shape = network.arch.decoder
    device = network.device
    dense = [m.weight for m in network.language_model.modules() if isinstance(m, DecodeLinear)][
        :SPREAD_OVER
    ]
    mixtures = _mixtures(network)
    size = sum(_bytes(weight) for weight in network.language_model.parameters())
    until = time.monotonic() + A_BIT + (PATIENCE - A_BIT) * min(1.0, size / LARGE)
    figures = Timings(dense={}, expert={}, prompt={}, few={}, many={})
    ways = {
        name: _each(times, _ones(PREFILL, dense[:1]), weights=dense[:1])
        for name, times in _right(PROMPT, 16, weight=dense[0])
    }
    figures.prompt[PREFILL] = _speeds(ways, PREFILL * 1e9, device=device, until=until)
    weights = [network.lm_head.weight[:SOME_OF_THE_HEAD], *dense]
    packs = _packs(weights)
    for rows in ROWS:
        ways = {
            name: _each(times, _ones(rows, weights), weights=weights)
            for name, times in _right(MATMULS, rows, weight=dense[0])
        }
        if packs and _agree(packs[-1].times, rows, weight=weights[-1]):
            ways[PACKED] = _each(_packed, _ones(rows, weights), weights=packs)
        figures.dense[rows] = _speeds(
            ways, sum(_bytes(w) for w in weights), device=device, until=until
        )
    if mixtures:
        # The ways of one expert's rows are part of going expert by expert, so they are chosen
        # first.
        some = list(mixtures[0].gate_up_proj[:SPREAD_OVER])
        for rows in ROWS:
            ways = {
                name: _each(times, _ones(rows, some), weights=some)
                for name, times in _right(MATMULS, rows, weight=some[0])
            }
            figures.expert[rows] = _speeds(
                ways, sum(_bytes(w) for w in some), device=device, until=until
            )
        network.ways.prompt = _best(figures.prompt[PREFILL], "linear")
        network.ways.expert = {
            rows: _best(speeds, "linear") for rows, speeds in figures.expert.items()
        }
        slow: frozenset[str] = frozenset()
        for rows in FEW:
            hit = min(shape.num_experts, rows * shape.num_experts_per_token)
            read = sum(_bytes(m.gate_up_proj[0]) + _bytes(m.down_proj[0]) for m in mixtures) * hit
            wrong = _wrong(mixtures[0], rows, chosen=shape.num_experts_per_token)
            ways = _mixed(mixtures, rows, chosen=shape.num_experts_per_token, without=slow | wrong)
            speeds = figures.few[rows] = _speeds(ways, read, device=device, until=until)
            # What copies a row's experts and is no good for one row takes seconds for eight.
            slow = frozenset(
                name for name, speed in speeds.items() if speed < BEHIND * max(speeds.values())
            )
        wrong = _wrong(mixtures[0], ROWS[-1] + 1, chosen=shape.num_experts_per_token)
        ways = _mixed(
            mixtures[:1], PREFILL, chosen=shape.num_experts_per_token, without=TOO_MUCH | wrong
        )
        figures.many[PREFILL] = _speeds(ways, PREFILL * 1e9, device=device, until=until)
    return figures


def _mixtures(network: Network) -> list[Any]:
    """The experts of some layers."""
    layers: list[Any] = [layer.mlp for layer in network.language_model.layers]
    return [mlp.experts for mlp in layers if hasattr(mlp, "experts")][:SOME_LAYERS]


def _ones(rows: int, weights: Sequence[Tensor]) -> list[Tensor]:
    return [
        torch.ones(rows, weight.shape[1], device=weight.device, dtype=weight.dtype)
        for weight in weights
    ]


def _right(
    times: Mapping[str, Callable[[Tensor, Tensor], Tensor]], rows: int, *, weight: Tensor
) -> list[tuple[str, Any]]:
    """Those of ``times`` that give the product here: one that is fast and wrong would win."""
    return [
        (name, each)
        for name, each in times.items()
        if _agree(partial(_given, each, weight), rows, weight=weight)
    ]


def _given(times: Callable[[Tensor, Tensor], Tensor], weight: Tensor, rows: Tensor) -> Tensor:  # noqa: PLR0917
    return times(rows, weight)


def _agree(times: Callable[[Tensor], Tensor], rows: int, *, weight: Tensor) -> bool:
    given = _random(rows, weight.shape[1], like=weight)
    try:
        return _close(times(given), F.linear(given, weight))
    except (RuntimeError, AttributeError):  # not on this device
        return False


def _wrong(experts: Any, rows: int, *, chosen: int) -> frozenset[str]:
    """The ways of running experts that do not give, or cannot, what each expert gives by itself."""
    weight = experts.gate_up_proj
    hidden = _random(rows, weight.shape[-1], like=weight)
    index = torch.rand(rows, weight.shape[0], device=weight.device).topk(chosen).indices
    shares = torch.rand(rows, chosen, device=weight.device)
    expected = torch.zeros_like(hidden, dtype=torch.float32)
    for row in range(rows):
        for share, expert in zip(shares[row], index[row].tolist(), strict=True):
            gate, up = F.linear(hidden[row], weight[expert]).chunk(2)
            expected[row] += share * F.linear(experts.act_fn(gate) * up, experts.down_proj[expert])
    wrong = set()
    for name, run in EXPERT_KERNELS.items():
        try:
            right = _close(run(experts, hidden, index, shares), expected)
        except (RuntimeError, AttributeError):
            right = False
        wrong |= set() if right else {name}
    return frozenset(wrong)


def _random(*shape: int, like: Tensor) -> Tensor:
    return torch.randn(*shape, device=like.device, dtype=like.dtype)


def _close(made: Tensor, expected: Tensor) -> bool:
    """Within what bfloat16 rounds away; garbage, NaN too, is not."""
    difference = (made.float() - expected.float()).abs().max()
    return bool(difference <= CLOSE * expected.float().abs().max())


def _packs(weights: Sequence[Tensor]) -> list[PackedWeight]:
    """Only for a CPU whose torch has oneDNN; elsewhere none."""
    there = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]  # torch has no type for it
    if weights[0].device.type != "cpu" or not there:
        return []
    try:
        return [PackedWeight(weight) for weight in weights]
    except RuntimeError:  # a precision that oneDNN does not have here
        return []


def _pack(network: Network) -> None:
    wanted = PACKED in network.ways.dense.values()
    for module in network.modules():
        if isinstance(module, DecodeLinear):
            module.pack = PackedWeight(module.weight) if wanted else None


def _each(
    times: Callable[[Tensor, W], Tensor], given: Sequence[Tensor], *, weights: Sequence[W]
) -> Callable[[], None]:
    """One product with each weight."""

    def run() -> None:
        for rows, weight in zip(given, weights, strict=True):
            times(rows, weight)

    return run


def _packed(rows: Tensor, pack: PackedWeight) -> Tensor:
    return pack.times(rows)


def _mixed(
    mixtures: Sequence[Any], rows: int, *, chosen: int, without: frozenset[str]
) -> dict[str, Callable[[], None]]:
    """Each way over a layer's experts, for ``rows`` whose experts are spread evenly."""
    weight = mixtures[0].gate_up_proj
    hidden = torch.ones(rows, weight.shape[-1], device=weight.device, dtype=weight.dtype)
    index = (torch.arange(rows * chosen, device=weight.device) % weight.shape[0]).view(rows, chosen)
    shares = torch.full((rows, chosen), 1 / chosen, device=weight.device)

    def run(way: str) -> None:
        for experts in mixtures:
            EXPERT_KERNELS[way](experts, hidden, index, shares)

    return {way: partial(run, way) for way in EXPERT_KERNELS if way not in without}


def _speeds(
    ways: dict[str, Callable[[], None]], amount: float, *, device: torch.device, until: float
) -> dict[str, float]:
    """Billions of ``amount`` a second, of each way that works here."""
    speeds = {}
    best = float("inf")
    for name, run in ways.items():
        if time.monotonic() > until:
            break
        try:
            seconds = _seconds(run, device, hopeless=HOPELESS * best)
            best = min(best, seconds)
            speeds[name] = round(amount / seconds / 1e9, 2)
        except (
            RuntimeError,
            AttributeError,
        ):  # not on this device; whether it works at all, the canary says
            continue
    return speeds


def _seconds(run: Callable[[], None], device: torch.device, *, hopeless: float) -> float:
    """The best of a few; of two where both took longer than ``hopeless``."""
    best = float("inf")
    for attempt in range(1 + REPEATS):
        started = time.perf_counter()
        run()
        synchronize(device)
        best = min(best, time.perf_counter() - started)
        if attempt == 1 and best > hopeless:
            break
    return best


def synchronize(device: torch.device) -> None:
    """Wait until the device has done what it was asked."""
    if device.type != "cpu":
        getattr(torch, device.type).synchronize()


def _best(speeds: dict[str, float], usual: str) -> str:
    """The fastest; the usual way where it is nearly as fast.

    Of packed and others the others unless it is worth it.
    """
    if not speeds:
        return usual
    others = {name: speed for name, speed in speeds.items() if name != PACKED}
    best = max(others, key=lambda name: others[name]) if others else PACKED
    if usual in others and others[usual] >= GOOD_ENOUGH * others[best]:
        best = usual
    return PACKED if speeds.get(PACKED, 0.0) * WORTH_PACKING > speeds[best] else best


def _bytes(weight: Tensor) -> int:
    return weight.numel() * weight.element_size()
