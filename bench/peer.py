"""DeepSeek-OCR's work done by llama.cpp, for a figure to stand beside ours.

Its ``deepseek2-ocr`` decoder and its ``deepseekocr`` eye, compiled for this processor, in an
environment of their own:

    # makes build/peer-venv: llama.cpp is compiled
    python -m bench.peer --setup
    # one JSON object on stdout
    build/peer-venv/bin/python -m bench.peer [--dtype bfloat16] [--tokens 64]

mlx-vlm, the other one on the package index, cannot be a peer on this system: mlx's CPU build has no
bfloat16 product of experts ("[GatherMM::eval] Currently only supports float32"), and its float32
goes through netlib's reference BLAS at 2 GFLOP/s. Token ids and pixels are random: the work depends
on them only in which experts are chosen.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bench.gguf_files import ROOT, Work, gguf_text, gguf_vision, gguf_words, imported

VENV = ROOT / "build" / "peer-venv"
PINNED = ["llama-cpp-python==0.3.36", "gguf==0.19.0", "numpy==2.4.6"]
PACKAGES = ("llama-cpp-python", "gguf", "numpy")

# Width and height of a picture that llama.cpp reads as one view of 1024 and no tiles: 273 slots.
VIEW = (640, 640)
# One that it reads as a view and 2 x 3 tiles of 640: 903 slots.
PAGE = (1280, 1920)

CAVEATS = [
    "weights: matrices in the asked type, norms, biases, router and convolutions in float32; nothing is quantised",
    "the keys and values are kept in float16 (its default) and attention may run fused in float16",
    "bfloat16: products take bfloat16 weights and activations and add up in float32, with AVX512-BF16 where it is",
    "the weights are mapped, not read: load is short, and the first pass pays for what is not in the page cache",
    "compiled with -march=native on this machine, unlike a wheel; one pass takes up to 1024 slots",
    "vision: one pass per row of tiles, as its own tools do; its pixel work is timed apart, as prepare",
    "its threads spin where they wait: with a core busy elsewhere two are far slower than one; try --threads 1 too",
]


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Time DeepSeek-OCR's work in another implementation."
    )
    parser.add_argument(
        "--setup", action="store_true", help=f"make {VENV.relative_to(ROOT)} and stop"
    )
    parser.add_argument(
        "--model",
        type=Path,
        default=ROOT / "build" / "full-size",
        help="as bench.full_size makes it",
    )
    parser.add_argument("--dtype", choices=["bfloat16", "float32"], default="bfloat16")
    parser.add_argument("--tokens", type=int, default=64, help="to decode, one at a time")
    parser.add_argument(
        "--slots", type=int, nargs="*", default=[421, 903], help="prompt lengths to prefill"
    )
    parser.add_argument(
        "--layers",
        type=int,
        default=0,
        help="only the first LAYERS of the decoder, for a quick try",
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="for llama.cpp")
    parser.add_argument(
        "--repeat", type=int, default=3, help="times each thing is timed; the best counts"
    )
    parser.add_argument("--skip", choices=["text", "vision"], nargs="*", default=[])
    parser.add_argument("--json", action="store_true", help="on one line")
    options = parser.parse_args()
    if options.setup:
        return setup()
    config = json.loads((options.model / "config.json").read_text(encoding="utf-8"))
    layers = options.layers or config["language_config"]["num_hidden_layers"]
    config["language_config"]["num_hidden_layers"] = layers
    work = Work(
        options.model,
        options.dtype,
        options.tokens,
        options.slots,
        layers,
        options.threads,
        max(1, options.repeat),
    )
    report: dict[str, Any] = {
        "peer": "llama.cpp", "dtype": work.dtype, "layers": layers, "threads": work.threads,
        "packages": installed(), "python": platform.python_version(), "machine": platform.machine(),
    }  # fmt: skip
    for name, part in (("vision", llama_vision), ("text", llama_text)):
        if name not in options.skip:
            report[name] = attempt(part, work, config=config)
    report["peak_bytes"] = peak_bytes()
    report["caveats"] = CAVEATS
    print(json.dumps(report, indent=None if options.json else 1))
    return None


def setup() -> None:
    """The peers' own environment; llama.cpp is compiled for the processor it is made on."""
    print(f"making {VENV}; llama.cpp is compiled, which takes minutes", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
    pip = [str(VENV / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    native = os.environ | {
        "CMAKE_ARGS": "-DGGML_NATIVE=ON",
        "CMAKE_BUILD_PARALLEL_LEVEL": str(os.cpu_count() or 1),
    }
    subprocess.run([*pip, "--no-binary", "llama-cpp-python", *PINNED], check=True, env=native)


def installed() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def attempt(
    part: Callable[[Work, Any], dict[str, Any]], work: Work, *, config: Any
) -> dict[str, Any]:
    """What ``part`` measured, or the error that it met: half a report is better than none."""
    try:
        return part(work, config)
    except (RuntimeError, ValueError, ImportError) as error:
        return {"error": f"{type(error).__name__}: {error}"}


def peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def timed(
    work: Work, load_s: float, *, prompt: Callable[[int], Any], step: Callable[[Any], Any]
) -> dict[str, Any]:
    """The text half of a report.

    ``prompt`` prefills that many slots and answers the next token, ``step`` takes one token and
    answers the next; ``first_prefill_s`` is the one that meets cold weights.
    """
    first_s = seconds(lambda: prompt(work.slots[0]))
    prefill = []
    for slots in work.slots:
        best = min(seconds(partial(prompt, slots)) for _ in range(work.repeat))
        prefill.append({"slots": slots, "s": best, "slots_per_s": slots / best})
    decode_s = float("inf")
    for _ in range(work.repeat):
        token = prompt(work.slots[-1])
        start = time.perf_counter()
        for _ in range(work.tokens):
            token = step(token)
        decode_s = min(decode_s, time.perf_counter() - start)
    decode = {"after_slots": work.slots[-1], "tokens": work.tokens, "s": decode_s}
    decode["tokens_per_s"] = work.tokens / decode_s
    return {"load_s": load_s, "first_prefill_s": first_s, "prefill": prefill, "decode": decode}


def llama_text(work: Work, config: Any) -> dict[str, Any]:
    import ctypes

    llama_cpp = imported("llama_cpp")
    import numpy as np

    path = gguf_text(work, config)
    quiet = llama_cpp.llama_log_callback(lambda level, text, data: None)
    llama_cpp.llama_log_set(quiet, ctypes.c_void_p(0))
    start = time.perf_counter()
    llama_cpp.llama_backend_init()
    model = llama_cpp.llama_model_load_from_file(
        str(path).encode(), llama_cpp.llama_model_default_params()
    )
    if model is None:
        raise RuntimeError(f"llama.cpp did not load {path}")
    params = llama_cpp.llama_context_default_params()
    params.n_ctx = max(work.slots) + work.tokens + 8
    params.n_batch = params.n_ubatch = 1024
    params.n_threads = params.n_threads_batch = work.threads
    context = llama_cpp.llama_init_from_model(model, params)
    if context is None:
        raise RuntimeError("llama.cpp made no context")
    load_s = time.perf_counter() - start
    sampler = llama_cpp.llama_sampler_init_greedy()
    random = np.random.default_rng(1)

    def feed(ids: list[int]) -> int:
        tokens = (llama_cpp.llama_token * len(ids))(*ids)
        code = llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one(tokens, len(ids)))
        if code != 0:
            raise RuntimeError(f"llama_decode answered {code}")
        return int(llama_cpp.llama_sampler_sample(sampler, context, -1))

    def prompt(slots: int) -> int:
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(context), True)
        return feed(random.integers(0, 128_000, slots).tolist())

    report = timed(work, load_s, prompt=prompt, step=lambda token: feed([token]))
    system = llama_cpp.llama_print_system_info().decode()
    llama_cpp.llama_free(context)
    llama_cpp.llama_model_free(model)
    return report | {"system": system}


def llama_vision(work: Work, config: Any) -> dict[str, Any]:
    import ctypes

    llama_cpp = imported("llama_cpp")
    mtmd = imported("llama_cpp.mtmd_cpp")

    path = gguf_vision(work, config)
    quiet = llama_cpp.llama_log_callback(lambda level, text, data: None)
    llama_cpp.llama_log_set(quiet, ctypes.c_void_p(0))
    mtmd.mtmd_log_set(quiet, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()
    params = mtmd.mtmd_context_params_default()
    params.use_gpu = params.warmup = params.print_timings = False
    params.n_threads = work.threads
    of_words = llama_cpp.llama_model_default_params()
    of_words.vocab_only = True
    words = llama_cpp.llama_model_load_from_file(str(gguf_words(work)).encode(), of_words)
    start = time.perf_counter()
    context = mtmd.mtmd_init_from_file(str(path).encode(), words, params)
    if context is None:
        raise RuntimeError(f"llama.cpp did not load {path}")
    report: dict[str, Any] = {"load_s": time.perf_counter() - start}
    for name, (width, height) in {"view": VIEW, "view_and_6_tiles": PAGE}.items():
        pixels = (ctypes.c_uint8 * (width * height * 3)).from_buffer_copy(
            os.urandom(width * height * 3)
        )
        bitmap = mtmd.mtmd_bitmap_init(width, height, pixels)
        chunks = mtmd.mtmd_input_chunks_init()
        part = mtmd.mtmd_input_part(bitmap=bitmap)
        parts = (ctypes.POINTER(mtmd.mtmd_input_part) * 1)(ctypes.pointer(part))
        start = time.perf_counter()
        if mtmd.mtmd_tokenize_from_parts(context, chunks, parts, 1, False) != 0:
            raise RuntimeError("llama.cpp did not take the picture")
        prepare_s = time.perf_counter() - start
        every = [
            mtmd.mtmd_input_chunks_get(chunks, i)
            for i in range(mtmd.mtmd_input_chunks_size(chunks))
        ]
        image = mtmd.MTMD_INPUT_CHUNK_TYPE_IMAGE
        images = [chunk for chunk in every if mtmd.mtmd_input_chunk_get_type(chunk) == image]

        def encode(images: list[Any] = images) -> None:
            for chunk in images:
                if mtmd.mtmd_encode_chunk(context, chunk) != 0:
                    raise RuntimeError("llama.cpp did not encode the picture")

        encode_s = min(seconds(encode) for _ in range(work.repeat))
        slots = sum(mtmd.mtmd_input_chunk_get_n_tokens(chunk) for chunk in images)
        report[name] = {
            "s": encode_s,
            "prepare_s": prepare_s,
            "passes": len(images),
            "slots": slots,
        }
        mtmd.mtmd_input_chunks_free(chunks)
        mtmd.mtmd_bitmap_free(bitmap)
    mtmd.mtmd_free(context)
    llama_cpp.llama_model_free(words)
    return report


if __name__ == "__main__":
    main()
