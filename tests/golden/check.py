"""Compare the network with what the published model code computes.

    python -m tests.golden.check DIR

DIR contains ``config.json``, ``model.safetensors``, ``outputs.safetensors`` and ``cases.json``. For
each case the largest differences are printed, and whether every greedy token agrees. The exit code
is 1 if a difference is beyond its limit.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from ocrd.engine.decode import Batch, DecodeLimits, DecodeResult, decode
from ocrd.engine.nn.checkpoint import load_network
from ocrd.engine.nn.decoder import run_decoder
from ocrd.engine.nn.kv_cache import KVCache
from ocrd.engine.nn.network import Network

# Limits of the absolute differences. SAM's features reach the hundreds.
MAX_LOGITS_DIFFERENCE = 1e-4
MAX_FEATURES_DIFFERENCE = 2e-3
TILE = 640
# As the golden tokens were decoded.
LIMITS = DecodeLimits(
    max_new_tokens=24, ngram_size=0, ngram_exempt=frozenset(), stop_repetition=False
)


@dataclass(frozen=True)
class Difference:
    """The largest absolute differences of one case."""

    case: str
    logits: float
    sam: float
    projected: float
    # Decoded alone, and in one batch with all other cases.
    tokens_agree: bool

    @property
    def within(self) -> bool:
        """Whether all are within their limits; NaN is not, because it compares as false."""
        return (
            self.logits <= MAX_LOGITS_DIFFERENCE
            and self.sam <= MAX_FEATURES_DIFFERENCE
            and self.projected <= MAX_FEATURES_DIFFERENCE
            and self.tokens_agree
        )


def main() -> int:
    if len(sys.argv) != 2:
        print("usage: python -m tests.golden.check DIR", file=sys.stderr)
        return 2
    differences = check(Path(sys.argv[1]))
    print(f"{'case':<14}{'logits':>10}{'SAM':>10}{'projected':>11}  greedy tokens")
    for d in differences:
        tokens = "agree" if d.tokens_agree else "DIFFER"
        verdict = "" if d.within else "  <- beyond the limit"
        print(f"{d.case:<14}{d.logits:>10.1e}{d.sam:>10.1e}{d.projected:>11.1e}  {tokens}{verdict}")
    return 0 if differences and all(d.within for d in differences) else 1


def check(folder: Path) -> list[Difference]:
    """Compare every case of a golden folder, in the order of its ``cases.json``."""
    network = load_network(folder, files=[folder / "model.safetensors"])
    outputs = load_file(folder / "outputs.safetensors")
    cases = json.loads((folder / "cases.json").read_text(encoding="utf-8"))
    compared = {
        name: compare(network, name, case=case, outputs=outputs) for name, case in cases.items()
    }
    batch = Batch(network, LIMITS, slots=len(cases), ban_eos=True)
    for number, (_, prompt) in enumerate(compared.values()):
        batch.add(number, prompt)
    batched: dict[int, DecodeResult] = {}
    while len(batch):
        batched.update(batch.step())
    differences = []
    for number, (name, (difference, _)) in enumerate(compared.items()):
        agrees = batched[number].token_ids == golden_tokens(name, outputs)
        differences.append(replace(difference, tokens_agree=difference.tokens_agree and agrees))
    return differences


@torch.inference_mode()
def compare(
    network: Network, name: str, *, case: dict[str, object], outputs: dict[str, Tensor]
) -> tuple[Difference, Tensor]:
    """Run one case alone.

    Args:
        network: With the golden weights.
        name: Of the case.
        case: ``base`` (pixels), ``tiles`` (columns and rows, or null) and ``seed`` of the views.
        outputs: The published code's.

    Returns:
        The differences, and the prompt [1, T, D].
    """
    view, tiles, grid = random_views(case)
    features = network.encode_views(view)
    tile_features = None if tiles is None else network.encode_views(tiles)
    image = network.assemble_image_tokens(features[0], tile_features, grid=grid)

    ids = outputs[f"{name}.ids"][0]
    slots = outputs[f"{name}.mask"][0].bool().nonzero().flatten()
    first = int(slots[0])
    last = int(slots[-1])
    if image.shape[0] != last - first + 1:
        raise SystemExit(
            f"{name}: {image.shape[0]} image tokens, but the golden prompt has {last - first + 1}"
        )
    prompt = network.embed_prompt(ids[:first], image, after=ids[last + 1 :])
    expected = outputs[f"{name}.last_logits"]
    cache = KVCache(network.arch.decoder.num_layers, 1, initial_length=ids.numel())
    cache.begin_prefill(prompt.shape[1], network.device)
    hidden = run_decoder(network.language_model, prompt, cache=cache)
    logits = network.lm_head(hidden[0, -expected.shape[0] :])
    sam = network.sam_model(view).last_hidden_state
    decoded = decode(network, prompt, limits=LIMITS, ban_eos=True)
    difference = Difference(
        case=name,
        logits=largest_difference(logits, expected),
        sam=largest_difference(sam, outputs[f"{name}.sam"]),
        projected=largest_difference(features, outputs[f"{name}.projected"]),
        tokens_agree=decoded.token_ids == golden_tokens(name, outputs),
    )
    return difference, prompt


def random_views(case: dict[str, object]) -> tuple[Tensor, Tensor | None, tuple[int, int]]:
    """(global view [1, 3, S, S], tiles [N, 3, 640, 640] or None, (columns, rows)) of a case."""
    generator = torch.Generator().manual_seed(int(str(case["seed"])))
    side = int(str(case["base"]))
    view = torch.randn(1, 3, side, side, generator=generator)
    if not case["tiles"]:
        return view, None, (1, 1)
    assert isinstance(case["tiles"], list)
    columns, rows = (int(count) for count in case["tiles"])
    tiles = torch.randn(columns * rows, 3, TILE, TILE, generator=generator)
    return view, tiles, (columns, rows)


def golden_tokens(name: str, outputs: dict[str, Tensor]) -> tuple[int, ...]:
    """The greedy tokens of the published code."""
    return tuple(outputs[f"{name}.generated"].flatten().tolist())


def largest_difference(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).abs().max())


if __name__ == "__main__":
    raise SystemExit(main())
