"""Which of the `ways` to multiply is fastest on this device, measured on the loaded model in about a second."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor

from ocrd.engine.network import Network
from ocrd.engine.ways import PACKED, ROWS, RUN_EXPERTS, TIMES, FewRows, Pack

W = TypeVar("W")
PREFILL = 256
"""Tokens at once that stand for a prompt."""
TOO_MUCH = frozenset({"batched"})
"""Not for a prompt: it copies each token's experts, 14 GB for 256 tokens at full size in float32."""
GOOD_ENOUGH = 0.95
"""torch's own way stays where another is faster by less than this: figures differ from run to run."""
WORTH_PACKING = 0.85
"""A packed copy takes a tenth of the model's memory again, so it has to be faster than this against the best other."""
REPEATS = 3
SPREAD_OVER = 16
"""Matrices that are multiplied in turn, so that none lies in a cache from the last time."""


@dataclass(frozen=True)
class Figures:
    """What was measured, for the log and the doctor: GB of weights per second; of a prompt, tokens a second in a layer.

    By the part of the decoder, the rows, and the way.
    """

    dense: dict[int, dict[str, float]]
    expert: dict[int, dict[str, float]]
    few: dict[int, dict[str, float]]
    many: dict[int, dict[str, float]]


def tune(network: Network) -> dict[str, object]:
    """Measure, and let ``network`` use what is fastest; what was chosen and the figures, for the log.

    A way that this device cannot do is left out; one that is always there is torch's own.
    """
    figures = measure(network)
    ways = network.ways
    ways.dense = {rows: _best(speeds, "linear") for rows, speeds in figures.dense.items()}
    ways.expert = {rows: _best(speeds, "linear") for rows, speeds in figures.expert.items()}
    # By the smaller number of rows: most documents have one page.
    ways.few = _best(next(iter(figures.few.values()), {}), "grouped")
    ways.many = _best(next(iter(figures.many.values()), {}), "grouped")
    _pack(network)
    chosen = {"dense": ways.dense, "expert": ways.expert, "few": ways.few, "many": ways.many}
    return {"chosen": chosen, "figures": asdict(figures)}


@torch.inference_mode()
def measure(network: Network) -> Figures:
    layers: list[Any] = [layer.mlp for layer in network.language_model.layers]
    dense = [m for m in network.language_model.modules() if isinstance(m, FewRows)]
    largest = max(module.weight.numel() for module in dense)
    weights = [module.weight for module in dense if module.weight.numel() * 4 >= largest][:SPREAD_OVER]
    mixtures = [mlp.experts for mlp in layers if hasattr(mlp, "experts")]
    figures = Figures(dense={}, expert={}, few={}, many={})
    packs = _packs(weights)
    for rows in ROWS:
        ways = {name: _each(times, weights, rows) for name, times in TIMES.items()}
        if packs:
            ways[PACKED] = _each(lambda given, pack: pack.times(given), packs, rows, like=weights[0])
        figures.dense[rows] = _speeds(ways, sum(_bytes(w) for w in weights), network.device)
        if mixtures:
            some = list(mixtures[0].gate_up_proj[:SPREAD_OVER])
            ways = {name: _each(times, some, rows) for name, times in TIMES.items()}
            figures.expert[rows] = _speeds(ways, sum(_bytes(w) for w in some), network.device)
    if mixtures:
        # The ways of one expert's rows are part of going expert by expert.
        network.ways.expert = {rows: _best(speeds, "linear") for rows, speeds in figures.expert.items()}
        for rows in (ROWS[0], ROWS[-1]):
            read = sum(_bytes(m.gate_up_proj[0]) + _bytes(m.down_proj[0]) for m in mixtures) * _hit(mixtures[0], rows)
            figures.few[rows] = _speeds(_mixed(mixtures, rows, set()), read, network.device)
        figures.many[PREFILL] = _speeds(_mixed(mixtures[:1], PREFILL, TOO_MUCH), PREFILL * 1e9, network.device)
    return figures


def _packs(weights: Sequence[Tensor]) -> list[Pack]:
    """Only for a CPU whose torch has oneDNN; elsewhere none."""
    there = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]  # torch has no type for it
    if weights[0].device.type != "cpu" or not there:
        return []
    try:
        return [Pack(weight) for weight in weights]
    except RuntimeError:  # a precision that oneDNN does not have here
        return []


def _pack(network: Network) -> None:
    wanted = PACKED in network.ways.dense.values()
    for module in network.modules():
        if isinstance(module, FewRows):
            module.pack = Pack(module.weight) if wanted else None


def _each(
    times: Callable[[Tensor, W], Tensor], weights: Sequence[W], rows: int, like: Tensor | None = None
) -> Callable[[], None]:
    """One product with each weight."""
    shape = like if like is not None else weights[0]
    assert isinstance(shape, Tensor)
    given = torch.ones(rows, shape.shape[1], device=shape.device, dtype=shape.dtype)

    def run() -> None:
        for weight in weights:
            times(given, weight)

    return run


def _mixed(mixtures: Sequence[Any], rows: int, without: set[str] | frozenset[str]) -> dict[str, Callable[[], None]]:
    """Each way over a layer's experts, for ``rows`` whose experts are spread evenly."""
    weight = mixtures[0].gate_up_proj
    chosen = min(6, weight.shape[0])
    hidden = torch.ones(rows, weight.shape[-1], device=weight.device, dtype=weight.dtype)
    index = (torch.arange(rows * chosen, device=weight.device) % weight.shape[0]).view(rows, chosen)
    shares = torch.full((rows, chosen), 1 / chosen, device=weight.device)

    def run(way: str) -> None:
        for experts in mixtures:
            RUN_EXPERTS[way](experts, hidden, index, shares)

    return {way: partial(run, way) for way in RUN_EXPERTS if way not in without}


def _hit(experts: Any, rows: int) -> int:
    count: int = experts.gate_up_proj.shape[0]
    return min(count, rows * min(6, count))


def _speeds(ways: dict[str, Callable[[], None]], amount: float, device: torch.device) -> dict[str, float]:
    """Billions of ``amount`` a second, of each way that works here."""
    speeds = {}
    for name, run in ways.items():
        try:
            speeds[name] = round(amount / _seconds(run, device) / 1e9, 2)
        except (
            RuntimeError,
            NotImplementedError,
        ):  # this device cannot do it so; whether it works at all, the canary says
            continue
    return speeds


def _seconds(run: Callable[[], None], device: torch.device) -> float:
    """The best of a few, behind one that is not counted."""
    best = float("inf")
    for attempt in range(REPEATS + 1):
        started = time.perf_counter()
        run()
        synchronize(device)
        if attempt:
            best = min(best, time.perf_counter() - started)
    return best


def synchronize(device: torch.device) -> None:
    """Wait until the device has done what it was asked."""
    if device.type != "cpu":
        getattr(torch, device.type).synchronize()


def _best(speeds: dict[str, float], usual: str) -> str:
    """The fastest; the usual way where it is nearly as fast; of packed and others the others unless it is worth it."""
    if not speeds:
        return usual
    others = {name: speed for name, speed in speeds.items() if name != PACKED}
    best = max(others, key=lambda name: others[name]) if others else PACKED
    if usual in others and others[usual] >= GOOD_ENOUGH * others[best]:
        best = usual
    return PACKED if speeds.get(PACKED, 0.0) * WORTH_PACKING > speeds[best] else best


def _bytes(weight: Tensor) -> int:
    return weight.numel() * weight.element_size()
