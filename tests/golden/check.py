"""Hold the engine against what the published model code computes.

    python -m tests.golden.check DIR

DIR holds ``config.json``, ``model.safetensors``, ``outputs.safetensors`` and ``cases.json``. For
each case the largest differences are printed, and whether every greedy token agrees; exit 1 beyond
the limits.
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

LOGITS = 1e-4
FEATURES = 2e-3
TILE = 640
PLAIN = DecodeLimits(
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
        # Written so that NaN, which compares as neither, is outside.
        return (
            self.logits <= LOGITS
            and self.sam <= FEATURES
            and self.projected <= FEATURES
            and self.tokens_agree
        )


@torch.inference_mode()
def compare(
    network: Network, name: str, *, case: dict[str, object], outputs: dict[str, Tensor]
) -> tuple[Difference, Tensor]:
    """Run one case, and give its prompt.

    ``base`` pixels, ``tiles`` (columns, rows) or null, ``seed`` of the views.
    """
    base = int(str(case["base"]))
    seed = int(str(case["seed"]))
    tiles = case["tiles"]
    generator = torch.Generator().manual_seed(seed)
    view = torch.randn(1, 3, base, base, generator=generator)
    features = network.encode_views(view)
    grid = (1, 1)
    tile_features = None
    if tiles:
        assert isinstance(tiles, list)
        grid = (int(tiles[0]), int(tiles[1]))
        views = torch.randn(grid[0] * grid[1], 3, TILE, TILE, generator=generator)
        tile_features = network.encode_views(views)
    picture = network.assemble_image_tokens(features[0], tile_features, grid=grid)

    ids = outputs[f"{name}.ids"][0]
    slots = outputs[f"{name}.mask"][0].bool().nonzero().flatten()
    first = int(slots[0])
    last = int(slots[-1])
    if picture.shape[0] != last - first + 1:
        raise SystemExit(
            f"{name}: {picture.shape[0]} image tokens where the golden prompt has {last - first + 1}"
        )
    prompt = network.embed_prompt(ids[:first], picture, after=ids[last + 1 :])
    expected = outputs[f"{name}.last_logits"]
    cache = KVCache(network.arch.decoder.num_layers, 1, initial_length=ids.numel())
    cache.begin_prefill(prompt.shape[1], network.device)
    hidden = run_decoder(network.language_model, prompt, cache=cache)
    logits = network.lm_head(hidden[0, -expected.shape[0] :])

    difference = Difference(
        case=name,
        logits=_largest(logits, expected),
        sam=_largest(network.sam_model(view).last_hidden_state, outputs[f"{name}.sam"]),
        projected=_largest(features, outputs[f"{name}.projected"]),
        # "No end token allowed" in the golden run: the same ban here.
        tokens_agree=decode(network, prompt, limits=PLAIN, ban_eos=True).token_ids
        == generated(name, outputs),
    )
    return difference, prompt


def generated(name: str, outputs: dict[str, Tensor]) -> tuple[int, ...]:
    return tuple(outputs[f"{name}.generated"].flatten().tolist())


def _largest(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).abs().max())


def check(folder: Path) -> list[Difference]:
    """Every case of a golden folder, in the order of its ``cases.json``."""
    network = load_network(folder, files=[folder / "model.safetensors"])
    outputs = load_file(folder / "outputs.safetensors")
    cases = json.loads((folder / "cases.json").read_text(encoding="utf-8"))
    compared = {
        name: compare(network, name, case=case, outputs=outputs) for name, case in cases.items()
    }
    batch = Batch(network, PLAIN, slots=len(cases), ban_eos=True)
    for number, (_, prompt) in enumerate(compared.values()):
        batch.add(number, prompt)
    together: dict[int, DecodeResult] = {}
    while len(batch):
        together.update(batch.step())
    return [
        replace(
            difference,
            tokens_agree=difference.tokens_agree
            and together[n].token_ids == generated(name, outputs),
        )
        for n, (name, (difference, _)) in enumerate(compared.items())
    ]


def main() -> int:
    if len(sys.argv) != 2:
        print("usage: python -m tests.golden.check DIR", file=sys.stderr)
        return 2
    differences = check(Path(sys.argv[1]))
    print(f"{'case':<14}{'logits':>10}{'SAM':>10}{'projected':>11}  greedy tokens")
    for d in differences:
        tokens = "agree" if d.tokens_agree else "DIFFER"
        verdict = "" if d.within else "  <- too far"
        print(f"{d.case:<14}{d.logits:>10.1e}{d.sam:>10.1e}{d.projected:>11.1e}  {tokens}{verdict}")
    return 0 if differences and all(d.within for d in differences) else 1


if __name__ == "__main__":
    raise SystemExit(main())
