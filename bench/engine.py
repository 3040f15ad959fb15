"""The engine at its true size.

Loading, seeing, reading a prompt, writing; each beside what it is compared to.

    python -m bench.engine [--device cpu] [--dtype bfloat16] [--peer] [--json FILE]

Random weights serve for speed (`bench.full_size`; 6.7 GB in ``build/full-size``). Everything of one
precision happens in one process, one after another, so ratios are of one run; ``--peer`` adds
llama.cpp's DeepSeek-OCR on the same weights (`bench.peer`, whose ``--setup`` compiles it). The same
on CPU, CUDA and MPS.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers.models.deepseek_ocr2.modeling_deepseek_ocr2 import DeepseekOcr2SamVisionLayer

from bench.full_size import build
from bench.memory import Peak
from ocrd.checkpoint_format.architecture import read_architecture
from ocrd.checkpoint_format.published_tensors import count_parameters
from ocrd.engine.decode import INITIAL_CACHE_POSITIONS, Batch, DecodeLimits
from ocrd.engine.ngram import NgramGuard
from ocrd.engine.nn.autotune import tune
from ocrd.engine.nn.checkpoint import load_network
from ocrd.engine.nn.kernel_benchmark import synchronize
from ocrd.engine.nn.kernels import KernelChoice
from ocrd.engine.nn.kv_cache import KVCache
from ocrd.engine.nn.network import Network
from ocrd.engine.nn.sam import ChunkedSamLayer
from ocrd.engine.repetition import RepetitionDetector
from ocrd.engine.runtime.devices import DTYPES
from ocrd.engine.special_tokens import SpecialTokens

PEER = Path("build/peer-venv/bin/python")
# Prompt slots of a page in 2 x 3 tiles, and of a 1280 view.
GUNDAM = 903
LARGE = 421
PAGES = (8, 4, 2, 1)
STEPS = 24
GUARDED = 4000
VIEW = 1024
TILE = 640
TILES = 6

Results = dict[str, Any]


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--model", type=Path, default=Path("build/full-size"))
    options.add_argument("--device", default="cpu")
    options.add_argument("--dtype", choices=[*DTYPES, "both"], default="both")
    options.add_argument("--peer", action="store_true")
    options.add_argument("--no-page", action="store_true", help="leave out the page of 1000 tokens")
    options.add_argument("--json", type=Path)
    given = options.parse_args()
    build(given.model)
    results: Results = {
        "machine": machine(given.device),
        "date": time.strftime("%Y-%m-%d"),
        "parts": {},
    }
    for dtype in DTYPES if given.dtype == "both" else [given.dtype]:
        # In a process of its own, so that one's memory is not the other's.
        if given.dtype == "both":
            part = [
                sys.executable,
                "-m",
                "bench.engine",
                "--model",
                str(given.model),
                "--device",
                given.device,
            ]
            part += [
                "--dtype",
                dtype,
                "--json",
                "build/part.json",
                *(["--no-page"] if given.no_page else []),
            ]
            subprocess.run(part, check=True, stdout=sys.stderr)
            results["parts"] |= json.loads(Path("build/part.json").read_text(encoding="utf-8"))[
                "parts"
            ]
        else:
            results["parts"][dtype] = measure(
                given.model, given.device, dtype=dtype, with_page=not given.no_page
            )
        if (
            given.peer and dtype == "bfloat16"
        ):  # in float32 it would want 13 GB of disk and memory more
            results["parts"][dtype]["peer"] = peer(given.model, dtype, ours=results["parts"][dtype])
    if given.json:
        given.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(table(results))


def measure(model: Path, device: str, *, dtype: str, with_page: bool) -> Results:
    results: Results = {"bandwidth": bandwidth(torch.device(device))}
    _say(results["bandwidth"])
    peak = Peak(device)
    started = time.perf_counter()
    network = load_network(model, device, dtype=DTYPES[dtype])
    synchronize(network.device)
    weights = sum(p.numel() * p.element_size() for p in network.parameters())
    most = peak.bytes()
    results["load"] = {"seconds": time.perf_counter() - started, "weights": weights, "peak": most,
                       "ratio": most / weights}  # fmt: skip
    _say(results["load"])
    started = time.perf_counter()
    tuned = tune(network)
    results["tune"] = {
        "seconds": time.perf_counter() - started,
        **asdict(tuned),
    }
    _say(results["tune"])
    with torch.inference_mode():
        results["vision"] = vision(network)
        _say(results["vision"])
        results["prefill"] = {str(slots): prefill(network, slots) for slots in (LARGE, GUNDAM)}
        _say(results["prefill"])
        results["decode"] = decode(network)
        _say(results["decode"])
    shares(results)
    results["guards"] = guards(results["decode"]["1"]["seconds"])
    if with_page:
        results["page"] = page(network)
        _say(results["page"])
    results["parameters"] = count_parameters(read_architecture(model))
    return results


def bandwidth(device: torch.device) -> dict[str, float]:
    """GB/s of a plain copy (read and written bytes both counted) and of reading alone, by all
    threads.
    """
    source = torch.ones(1 << 28, device=device)
    copy = torch.empty_like(source)
    size = source.numel() * source.element_size()
    return {
        "copy": 2 * size / best(lambda: torch.mul(source, 1.0, out=copy), device, times=5) / 1e9,
        "read": size / best(source.sum, device, times=5) / 1e9,
    }


def vision(network: Network) -> Results:
    """Seconds for a view, for it and its tiles, ours and as transformers' modules do it, in
    turn; and activations.
    """
    seen: Results = {}
    generator = torch.Generator().manual_seed(1)
    view = torch.randn(1, 3, VIEW, VIEW, generator=generator).to(network.device, network.dtype)
    tiles = torch.randn(TILES, 3, TILE, TILE, generator=generator).to(network.device, network.dtype)
    chosen = network.kernels
    for name, layer, kernels in (
        ("plain", DeepseekOcr2SamVisionLayer, KernelChoice()),
        ("ours", ChunkedSamLayer, chosen),
    ):
        network.use_kernels(kernels)
        for each in network.sam_model.layers:
            each.__class__ = layer
        network.encode_views(tiles[:1])
        peak = Peak(network.device.type)
        one = best(lambda: network.encode_views(view), network.device, times=2)
        activations = peak.bytes()
        # As the published code does it: all tiles at once.
        encode = network.encode_views if name == "plain" else network.encode_tiles
        more = best(partial(encode, tiles), network.device, times=2)
        seen[name] = {"view": one, "tiles": more, "megabytes": activations / 1e6}
    seen["ratio"] = (seen["plain"]["view"] + seen["plain"]["tiles"]) / (
        seen["ours"]["view"] + seen["ours"]["tiles"]
    )
    return seen


def prefill(network: Network, slots: int) -> dict[str, float]:
    prompt = _prompt(network, slots, seed=1)

    def once() -> None:
        cache = KVCache(network.arch.decoder.num_layers, 1, initial_length=INITIAL_CACHE_POSITIONS)
        cache.begin_prefill(slots, network.device)
        network.next_logits(prompt, cache=cache)

    seconds = best(once, network.device, times=2)
    return {"seconds": seconds, "tokens_per_second": slots / seconds}


def decode(network: Network) -> Results:
    """Tokens a second with so many pages at once, and as torch multiplies by itself.

    The pages are all different.
    """
    cache = KVCache(
        network.arch.decoder.num_layers, PAGES[0], initial_length=INITIAL_CACHE_POSITIONS
    )
    for number in range(PAGES[0]):
        cache.begin_prefill(LARGE, network.device)
        network.next_logits(_prompt(network, LARGE, seed=number), cache=cache)
    results: Results = {}
    chosen = network.kernels
    own = KernelChoice()
    for pages in PAGES:
        while len(cache.lengths) > pages:
            cache.free(len(cache.lengths) - 1)
        results[str(pages)] = _steps(network, cache)
        if pages in (PAGES[0], PAGES[-1]):
            network.use_kernels(own)
            results[str(pages)]["torch"] = pages / _steps(network, cache)["seconds"]
            network.use_kernels(chosen)
    for pages in PAGES:
        results[str(pages)]["against_one"] = (
            results[str(pages)]["tokens_per_second"] / results["1"]["tokens_per_second"]
        )
    return results


def shares(results: Results) -> None:
    """Decoding one page against what memory could do.

    Weights read a second, by its copy and by its read bandwidth.
    """
    speed = results["decode"]["1"]["gb_per_second"]
    memory = results["bandwidth"]
    results["decode"]["of_copy"] = speed / memory["copy"]
    results["decode"]["of_read"] = speed / memory["read"]


def _steps(network: Network, cache: KVCache) -> dict[str, float]:
    count = len(cache.lengths)
    generator = torch.Generator().manual_seed(count)

    def step() -> None:
        ids = torch.randint(0, network.arch.decoder.vocab_size, (count, 1), generator=generator)
        cache.begin_decode(network.device)
        network.next_logits(
            network.language_model.embed_tokens(ids.to(network.device)), cache=cache
        ).argmax(-1).tolist()

    step()
    read = _bytes_read(network, step)
    spread = [_timed(step, network.device) for _ in range(STEPS)]
    seconds = sorted(spread)[STEPS // 2]
    return {"seconds": seconds, "tokens_per_second": count / seconds, "weights_read": read,
            "gb_per_second": read / seconds / 1e9}  # fmt: skip


def _bytes_read(network: Network, step: Callable[[], None]) -> int:
    """Of weights in one step: all that is dense, and the experts that were chosen, each once."""
    chosen: list[Tensor] = []
    gates = [
        layer.mlp.gate for layer in network.language_model.layers if hasattr(layer.mlp, "gate")
    ]
    hooks = [
        gate.register_forward_hook(lambda _m, _i, out: chosen.append(out[2])) for gate in gates
    ]
    step()
    for hook in hooks:
        hook.remove()
    size = network.lm_head.weight.element_size()
    elsewhere = ("experts.gate_up_proj", "experts.down_proj", "embed_tokens.weight")
    dense = sum(
        p.numel() for n, p in network.language_model.named_parameters() if not n.endswith(elsewhere)
    )
    shape = network.arch.decoder
    experts = (
        sum(len(set(index.flatten().tolist())) for index in chosen)
        * 3
        * shape.hidden_size
        * shape.moe_intermediate_size
    )
    return int((dense + experts + network.lm_head.weight.numel()) * size)


def guards(token: float) -> dict[str, float]:
    """Seconds for the n-gram guard and the loop watch over a long text, and their share of
    decoding it.
    """
    ids = torch.randint(0, 5000, (GUARDED,), generator=torch.Generator().manual_seed(1)).tolist()
    guard = NgramGuard(30, 90)
    watch = RepetitionDetector(SpecialTokens(1, 2))
    started = time.perf_counter()
    for each in ids:
        guard.push(each)
        guard.banned()
        watch.push(each)
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "share": seconds / (GUARDED * token)}


def page(network: Network) -> dict[str, float]:
    """Seconds from the pixels of a page in 2 x 3 tiles to its 300th and its 1000th token."""
    ticks: dict[int, float] = {}
    started = time.perf_counter()
    with torch.inference_mode():
        network.encode_views(
            torch.zeros(1, 3, VIEW, VIEW, device=network.device, dtype=network.dtype)
        )
        network.encode_tiles(
            torch.zeros(TILES, 3, TILE, TILE, device=network.device, dtype=network.dtype)
        )
    batch = Batch(network, DecodeLimits(max_new_tokens=1000, stop_repetition=False), ban_eos=True)
    batch.add(
        0,
        _prompt(network, GUNDAM, seed=1),
        on_token=lambda count: ticks.update({count: time.perf_counter() - started}),
    )
    while not batch.step():
        pass
    return {"to_first": ticks[1], "to_300": ticks[300], "to_1000": ticks[1000]}


def peer(model: Path, dtype: str, *, ours: Results) -> Results:
    """llama.cpp's figures with as many threads as there are cores, and ours against them (above
    1: ours is faster).
    """
    if not PEER.exists():
        raise SystemExit(f"{PEER} is missing; make it with: python -m bench.peer --setup")
    argv = [
        str(PEER),
        "-m",
        "bench.peer",
        "--json",
        "--model",
        str(model),
        "--dtype",
        dtype,
        "--repeat",
        "2",
    ]
    done = subprocess.run(
        [*argv, "--tokens", str(STEPS)], check=True, capture_output=True, text=True
    )
    run = json.loads(done.stdout)
    if broken := [half["error"] for half in (run["text"], run["vision"]) if "error" in half]:
        return {"error": broken[0], "run": run}
    tokens = run["text"]["decode"]["tokens_per_s"]
    fill = run["text"]["prefill"][-1]["s"]
    seen = run["vision"]["view_and_6_tiles"]["s"]
    ours_seen = ours["vision"]["ours"]["view"] + ours["vision"]["ours"]["tiles"]
    return {
        "decode": tokens, "prefill": fill, "vision": seen, "packages": run["packages"],
        "decode_ratio": ours["decode"]["1"]["tokens_per_second"] / tokens,
        "prefill_ratio": fill / ours["prefill"][str(GUNDAM)]["seconds"],
        "vision_ratio": seen / ours_seen,
        "run": run,
    }  # fmt: skip


def best(run: Callable[[], object], device: torch.device, *, times: int) -> float:
    """Seconds of the fastest, behind one that is not counted."""
    run()
    return min(_timed(run, device) for _ in range(times))


def _timed(run: Callable[[], object], device: torch.device) -> float:
    synchronize(device)
    started = time.perf_counter()
    run()
    synchronize(device)
    return time.perf_counter() - started


def _prompt(network: Network, slots: int, *, seed: int) -> Tensor:
    ids = torch.randint(0, 5000, (1, slots), generator=torch.Generator().manual_seed(seed))
    with torch.inference_mode():
        prompt: Tensor = network.language_model.embed_tokens(ids.to(network.device))
    return prompt


def _say(results: Results) -> None:
    print(json.dumps(results), file=sys.stderr, flush=True)


def machine(device: str) -> dict[str, object]:
    name = (
        torch.cuda.get_device_name()
        if device == "cuda"
        else platform.processor() or platform.machine()
    )
    return {"device": device, "name": name, "threads": torch.get_num_threads(), "torch": torch.__version__,
            "system": platform.platform(terse=True)}  # fmt: skip


def table(results: Results) -> str:
    """The figures as Markdown, a column for each precision."""
    parts = results["parts"]
    rows = [
        (name, [_cell(parts[dtype], path, form=form) for dtype in parts])
        for name, path, form in ROWS_OF_TABLE
    ]
    lines = ["| | " + " | ".join(parts) + " |", "| --- |" + " --- |" * len(parts)]
    return "\n".join([*lines, *("| " + " | ".join([name, *cells]) + " |" for name, cells in rows)])


def _cell(part: Results, path: str, *, form: str) -> str:
    value: Any = part
    for key in path.split("/"):
        if not isinstance(value, dict) or key not in value:
            return ""
        value = value[key]
    return form.format(value)


ROWS_OF_TABLE = [
    ("copy bandwidth", "bandwidth/copy", "{:.1f} GB/s"),
    ("read bandwidth", "bandwidth/read", "{:.1f} GB/s"),
    ("load", "load/seconds", "{:.1f} s"),
    ("memory at the peak of loading, against the weights", "load/ratio", "{:.3f} x"),
    ("measuring the ways to multiply", "tune/seconds", "{:.1f} s"),
    ("1024 view", "vision/ours/view", "{:.2f} s"),
    ("memory for it beside the weights", "vision/ours/megabytes", "{:.0f} MB"),
    ("the same, transformers' modules", "vision/plain/megabytes", "{:.0f} MB"),
    ("six tiles of 640", "vision/ours/tiles", "{:.2f} s"),
    ("1024 view, transformers' modules", "vision/plain/view", "{:.2f} s"),
    ("six tiles, transformers' modules", "vision/plain/tiles", "{:.2f} s"),
    ("**vision against them**", "vision/ratio", "{:.2f} x"),
    ("prefill, 421 slots", "prefill/421/seconds", "{:.2f} s"),
    ("prefill, 903 slots", "prefill/903/seconds", "{:.2f} s"),
    *(
        (f"decode, {n} page{'s' * (n > 1)}", f"decode/{n}/tokens_per_second", "{:.1f} tokens/s")
        for n in PAGES[::-1]
    ),
    ("decode, 1 page, torch's own ways", "decode/1/torch", "{:.1f} tokens/s"),
    ("decode, 8 pages, torch's own ways", "decode/8/torch", "{:.1f} tokens/s"),
    ("weights read, 1 page", "decode/1/gb_per_second", "{:.1f} GB/s"),
    ("**of the copy bandwidth**", "decode/of_copy", "{:.0%}"),
    ("of the read bandwidth", "decode/of_read", "{:.0%}"),
    ("**8 pages against 1**", "decode/8/against_one", "{:.2f} x"),
    ("guard and loop watch", "guards/share", "{:.3%} of decoding"),
    ("page in 2 x 3 tiles, 300 tokens", "page/to_300", "{:.1f} s"),
    ("page in 2 x 3 tiles, 1000 tokens", "page/to_1000", "{:.1f} s"),
    ("llama.cpp: decode, 1 page", "peer/decode", "{:.1f} tokens/s"),
    ("llama.cpp: prefill, 903 slots", "peer/prefill", "{:.2f} s"),
    ("llama.cpp: 1024 view and six tiles", "peer/vision", "{:.2f} s"),
    ("**decode against llama.cpp**", "peer/decode_ratio", "{:.2f} x"),
    ("**prefill against llama.cpp**", "peer/prefill_ratio", "{:.2f} x"),
    ("**vision against llama.cpp**", "peer/vision_ratio", "{:.2f} x"),
]

if __name__ == "__main__":
    main()
