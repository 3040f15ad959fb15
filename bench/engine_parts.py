"""What `bench.engine` measures: memory bandwidth, vision, prefill, decoding, the guards and a page.

Each function returns numbers for JSON; their units are in their names.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from transformers.models.deepseek_ocr2.modeling_deepseek_ocr2 import DeepseekOcr2SamVisionLayer

from bench.memory import PeakMemory
from bench.timing import fastest_of, time_run
from ocrd.engine.decode import INITIAL_CACHE_POSITIONS, Batch, DecodeLimits
from ocrd.engine.ngram import NgramGuard
from ocrd.engine.nn.kernels import KernelChoice
from ocrd.engine.nn.kv_cache import KVCache
from ocrd.engine.nn.network import Network
from ocrd.engine.repetition import RepetitionDetector
from ocrd.engine.special_tokens import SpecialTokens

# Prompt lengths of a page in 2 x 3 tiles, and of a view of 1280 pixels.
GUNDAM_SLOTS = 903
LARGE_SLOTS = 421
# Numbers of pages that are decoded together.
PAGES = (8, 4, 2, 1)
DECODE_STEPS = 24
# Tokens of the long text that the guards see.
GUARDED_TOKENS = 4000
# Pixels on a side.
VIEW = 1024
TILE = 640
TILES = 6
# Random token ids are below this number.
MAX_TOKEN_ID = 5000

Results = dict[str, Any]


def measure_bandwidth(device: torch.device) -> dict[str, float]:
    """GB/s of all threads: a plain copy (bytes read plus bytes written), and reading alone."""
    source = torch.ones(1 << 28, device=device)
    copy = torch.empty_like(source)
    gigabytes = source.numel() * source.element_size() / 1e9
    copying = partial(torch.mul, source, 1.0, out=copy)
    return {
        "copy": 2 * gigabytes / fastest_of(copying, device, runs=5),
        "read": gigabytes / fastest_of(source.sum, device, runs=5),
    }


def measure_vision(network: Network) -> Results:
    """A view and six tiles, with ocrd's encoders and with transformers' modules.

    Seconds for each, and megabytes for the view in addition to the weights.
    """
    results: Results = {}
    generator = torch.Generator().manual_seed(1)
    view = torch.randn(1, 3, VIEW, VIEW, generator=generator).to(network.device, network.dtype)
    tiles = torch.randn(TILES, 3, TILE, TILE, generator=generator).to(network.device, network.dtype)
    ours = type(network.sam_model.layers[0])
    chosen = network.kernels
    for name, layer_class, kernels, encode_tiles in (
        # All tiles together, as in the published code.
        ("transformers", DeepseekOcr2SamVisionLayer, KernelChoice(), network.encode_views),
        ("ocrd", ours, chosen, network.encode_tiles),
    ):
        network.use_kernels(kernels)
        for layer in network.sam_model.layers:
            layer.__class__ = layer_class
        network.encode_views(tiles[:1])
        peak = PeakMemory(network.device.type)
        view_s = fastest_of(partial(network.encode_views, view), network.device, runs=2)
        megabytes = peak.bytes() / 1e6
        tiles_s = fastest_of(partial(encode_tiles, tiles), network.device, runs=2)
        results[name] = {"view_s": view_s, "tiles_s": tiles_s, "megabytes": megabytes}
    total_s = {name: part["view_s"] + part["tiles_s"] for name, part in results.items()}
    results["speedup"] = total_s["transformers"] / total_s["ocrd"]
    return results


def measure_prefill(network: Network, slots: int) -> dict[str, float]:
    """A prompt of so many slots."""
    prompt = random_prompt(network, slots, seed=1)

    def prefill() -> None:
        cache = KVCache(network.arch.decoder.num_layers, 1, initial_length=INITIAL_CACHE_POSITIONS)
        cache.begin_prefill(slots, network.device)
        network.next_logits(prompt, cache=cache)

    seconds = fastest_of(prefill, network.device, runs=2)
    return {"seconds": seconds, "tokens_per_s": slots / seconds}


def measure_decode(network: Network) -> Results:
    """Tokens per second with several different pages together, and with the default kernels."""
    cache = KVCache(
        network.arch.decoder.num_layers, PAGES[0], initial_length=INITIAL_CACHE_POSITIONS
    )
    for number in range(PAGES[0]):
        cache.begin_prefill(LARGE_SLOTS, network.device)
        network.next_logits(random_prompt(network, LARGE_SLOTS, seed=number), cache=cache)
    results: Results = {}
    chosen = network.kernels
    for pages in PAGES:
        while len(cache.lengths) > pages:
            cache.free(len(cache.lengths) - 1)
        results[str(pages)] = _measure_steps(network, cache)
        if pages in (PAGES[0], PAGES[-1]):
            network.use_kernels(KernelChoice())
            default_s = _measure_steps(network, cache)["seconds"]
            results[str(pages)]["default_kernels_tokens_per_s"] = pages / default_s
            network.use_kernels(chosen)
    one = results["1"]["tokens_per_s"]
    for pages in PAGES:
        results[str(pages)]["speedup"] = results[str(pages)]["tokens_per_s"] / one
    return results


def _measure_steps(network: Network, cache: KVCache) -> dict[str, float]:
    """The median step of decoding random tokens of all pages in the cache."""
    pages = len(cache.lengths)
    generator = torch.Generator().manual_seed(pages)

    def step() -> None:
        ids = torch.randint(0, network.arch.decoder.vocab_size, (pages, 1), generator=generator)
        cache.begin_decode(network.device)
        embedded = network.language_model.embed_tokens(ids.to(network.device))
        network.next_logits(embedded, cache=cache).argmax(-1).tolist()

    step()
    read_bytes = _count_bytes_read(network, step)
    times = sorted(time_run(step, network.device) for _ in range(DECODE_STEPS))
    seconds = times[DECODE_STEPS // 2]
    return {
        "seconds": seconds,
        "tokens_per_s": pages / seconds,
        "weight_bytes": read_bytes,
        "weight_gb_per_s": read_bytes / seconds / 1e9,
    }


def _count_bytes_read(network: Network, step: Callable[[], None]) -> int:
    """Bytes of weights that one step reads: all dense ones, and each chosen expert once."""
    chosen: list[Tensor] = []
    layers = network.language_model.layers
    hooks = [
        layer.mlp.gate.register_forward_hook(lambda _m, _i, out: chosen.append(out[2]))
        for layer in layers
        if hasattr(layer.mlp, "gate")
    ]
    step()
    for hook in hooks:
        hook.remove()
    not_dense = ("experts.gate_up_proj", "experts.down_proj", "embed_tokens.weight")
    dense = sum(
        parameter.numel()
        for name, parameter in network.language_model.named_parameters()
        if not name.endswith(not_dense)
    )
    sizes = network.arch.decoder
    experts = sum(len(set(index.flatten().tolist())) for index in chosen)
    in_experts = experts * 3 * sizes.hidden_size * sizes.moe_intermediate_size
    head = network.lm_head.weight
    return int((dense + in_experts + head.numel()) * head.element_size())


def measure_guards(token_s: float) -> dict[str, float]:
    """The n-gram guard and the repetition detector over a long text, as a share of decoding it.

    Args:
        token_s: Seconds in which one token is decoded.
    """
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(0, MAX_TOKEN_ID, (GUARDED_TOKENS,), generator=generator).tolist()
    guard = NgramGuard(30, 90)
    detector = RepetitionDetector(SpecialTokens(1, 2))
    started = time.perf_counter()
    for token in ids:
        guard.push(token)
        guard.banned()
        detector.push(token)
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "share_of_decoding": seconds / (GUARDED_TOKENS * token_s)}


def measure_page(network: Network) -> dict[str, float]:
    """Seconds from the pixels of a page in 2 x 3 tiles to its first, 300th and 1000th token."""
    token_s: dict[int, float] = {}
    started = time.perf_counter()
    with torch.inference_mode():
        network.encode_views(torch.zeros(1, 3, VIEW, VIEW).to(network.device, network.dtype))
        network.encode_tiles(torch.zeros(TILES, 3, TILE, TILE).to(network.device, network.dtype))
    limits = DecodeLimits(max_new_tokens=1000, stop_repetition=False)
    batch = Batch(network, limits, ban_eos=True)
    batch.add(
        0,
        random_prompt(network, GUNDAM_SLOTS, seed=1),
        on_token=lambda count: token_s.update({count: time.perf_counter() - started}),
    )
    while not batch.step():
        pass
    return {"to_token_1_s": token_s[1], "to_token_300_s": token_s[300],
            "to_token_1000_s": token_s[1000]}  # fmt: skip


def random_prompt(network: Network, slots: int, *, seed: int) -> Tensor:
    """Embeddings [1, slots, D] of random tokens."""
    generator = torch.Generator().manual_seed(seed)
    largest = min(MAX_TOKEN_ID, network.arch.decoder.vocab_size)
    ids = torch.randint(0, largest, (1, slots), generator=generator)
    with torch.inference_mode():
        prompt: Tensor = network.language_model.embed_tokens(ids.to(network.device))
    return prompt
