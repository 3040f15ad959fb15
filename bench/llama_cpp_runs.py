"""What `bench.llama_cpp` measures, through llama-cpp-python's bindings.

This module runs in that script's own environment, so it uses neither torch nor the project.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

from bench.gguf_files import (
    Workload,
    import_untyped,
    write_decoder,
    write_vision_encoder,
    write_vocabulary,
)

# (width, height) of a picture that llama.cpp reads as one view of 1024 and no tiles: 273 slots.
VIEW = (640, 640)
# One that it reads as a view and 2 x 3 tiles of 640: 903 slots.
PAGE = (1280, 1920)


def time_run(run: Callable[[], object]) -> float:
    """Seconds of one run."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def measure_text(work: Workload, config: Any) -> dict[str, Any]:
    """Seconds for loading the decoder, for each prompt, and for the tokens after the last one."""
    llama_cpp = import_untyped("llama_cpp")
    np = import_untyped("numpy")
    path = write_decoder(work, config)
    random = np.random.default_rng(1)
    started = time.perf_counter()
    with decoder_context(work, path) as (context, sampler):
        load_s = time.perf_counter() - started

        def feed(ids: list[int]) -> int:
            """Run the tokens and return the next one."""
            tokens = (llama_cpp.llama_token * len(ids))(*ids)
            code = llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one(tokens, len(ids)))
            if code != 0:
                raise RuntimeError(f"llama_decode failed with code {code}")
            return int(llama_cpp.llama_sampler_sample(sampler, context, -1))

        def prefill(slots: int) -> int:
            """Run a new prompt and return the token that follows."""
            llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(context), True)
            return feed(random.integers(0, 128_000, slots).tolist())

        timings = time_text(work, prefill, step=lambda token: feed([token]))
        system = llama_cpp.llama_print_system_info().decode()
    return {"load_s": load_s, **timings, "system": system}


@contextmanager
def decoder_context(work: Workload, path: Path) -> Iterator[tuple[Any, Any]]:
    """llama.cpp's context with the decoder loaded, and a greedy sampler."""
    llama_cpp = import_untyped("llama_cpp")
    silence_log()
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
        raise RuntimeError("llama.cpp did not create a context")
    try:
        yield context, llama_cpp.llama_sampler_init_greedy()
    finally:
        llama_cpp.llama_free(context)
        llama_cpp.llama_model_free(model)


def time_text(
    work: Workload, prefill: Callable[[int], int], *, step: Callable[[int], int]
) -> dict[str, Any]:
    """Time prompts and decoding. ``first_prefill_s`` is the one that meets cold weights.

    Args:
        work: What to measure.
        prefill: Runs a prompt of so many slots and returns the next token.
        step: Runs one token and returns the next one.
    """
    first_s = time_run(lambda: prefill(work.slots[0]))
    prefills = []
    for slots in work.slots:
        best_s = min(time_run(partial(prefill, slots)) for _ in range(work.repeat))
        prefills.append({"slots": slots, "s": best_s, "slots_per_s": slots / best_s})
    decode_s = float("inf")
    for _ in range(work.repeat):
        token = prefill(work.slots[-1])
        started = time.perf_counter()
        for _ in range(work.tokens):
            token = step(token)
        decode_s = min(decode_s, time.perf_counter() - started)
    decode = {
        "after_slots": work.slots[-1],
        "tokens": work.tokens,
        "s": decode_s,
        "tokens_per_s": work.tokens / decode_s,
    }
    return {"first_prefill_s": first_s, "prefill": prefills, "decode": decode}


def measure_vision(work: Workload, config: Any) -> dict[str, Any]:
    """Seconds for loading the vision encoder, for a view, and for a view with six tiles."""
    llama_cpp = import_untyped("llama_cpp")
    mtmd = import_untyped("llama_cpp.mtmd_cpp")
    path = write_vision_encoder(work, config)
    silence_log()
    mtmd.mtmd_log_set(_quiet_callback(), ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()
    params = mtmd.mtmd_context_params_default()
    params.use_gpu = params.warmup = params.print_timings = False
    params.n_threads = work.threads
    vocabulary_params = llama_cpp.llama_model_default_params()
    vocabulary_params.vocab_only = True
    vocabulary = llama_cpp.llama_model_load_from_file(
        str(write_vocabulary(work)).encode(), vocabulary_params
    )
    started = time.perf_counter()
    context = mtmd.mtmd_init_from_file(str(path).encode(), vocabulary, params)
    if context is None:
        raise RuntimeError(f"llama.cpp did not load {path}")
    report: dict[str, Any] = {"load_s": time.perf_counter() - started}
    for name, size in {"view": VIEW, "view_and_6_tiles": PAGE}.items():
        report[name] = time_picture(context, size, repeat=work.repeat)
    mtmd.mtmd_free(context)
    llama_cpp.llama_model_free(vocabulary)
    return report


def time_picture(context: Any, size: tuple[int, int], *, repeat: int) -> dict[str, Any]:
    """Seconds for preparing and for encoding a random picture of ``size`` (width, height)."""
    mtmd = import_untyped("llama_cpp.mtmd_cpp")
    width, height = size
    byte_count = width * height * 3
    pixels = (ctypes.c_uint8 * byte_count).from_buffer_copy(os.urandom(byte_count))
    bitmap = mtmd.mtmd_bitmap_init(width, height, pixels)
    chunks = mtmd.mtmd_input_chunks_init()
    part = mtmd.mtmd_input_part(bitmap=bitmap)
    parts = (ctypes.POINTER(mtmd.mtmd_input_part) * 1)(ctypes.pointer(part))
    started = time.perf_counter()
    if mtmd.mtmd_tokenize_from_parts(context, chunks, parts, 1, False) != 0:
        raise RuntimeError("llama.cpp did not accept the picture")
    prepare_s = time.perf_counter() - started
    count = mtmd.mtmd_input_chunks_size(chunks)
    images = [
        chunk
        for chunk in (mtmd.mtmd_input_chunks_get(chunks, i) for i in range(count))
        if mtmd.mtmd_input_chunk_get_type(chunk) == mtmd.MTMD_INPUT_CHUNK_TYPE_IMAGE
    ]

    def encode() -> None:
        for chunk in images:
            if mtmd.mtmd_encode_chunk(context, chunk) != 0:
                raise RuntimeError("llama.cpp did not encode the picture")

    encode_s = min(time_run(encode) for _ in range(repeat))
    slots = sum(mtmd.mtmd_input_chunk_get_n_tokens(chunk) for chunk in images)
    mtmd.mtmd_input_chunks_free(chunks)
    mtmd.mtmd_bitmap_free(bitmap)
    return {"s": encode_s, "prepare_s": prepare_s, "passes": len(images), "slots": slots}


def silence_log() -> None:
    import_untyped("llama_cpp").llama_log_set(_quiet_callback(), ctypes.c_void_p(0))


@cache
def _quiet_callback() -> Any:
    """Logs nothing. Cached, because llama.cpp calls it later, so it must stay alive."""
    return import_untyped("llama_cpp").llama_log_callback(lambda _level, _text, _data: None)
