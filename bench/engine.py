"""Measure the engine at its real size: loading, vision, prefill and decoding.

    python -m bench.engine [--device cpu] [--dtype bfloat16] [--llama-cpp] [--json FILE]

Random weights are enough to measure speed (`bench.full_size`; 6.7 GB in ``build/full-size``). All
figures of one dtype come from one process, one after the other, so ratios are of one run.
``--llama-cpp`` adds llama.cpp's DeepSeek-OCR with the same weights (`bench.llama_cpp`, whose
``--setup`` compiles it). The script is the same for CPU, CUDA and MPS.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import torch

from bench.engine_parts import (
    DECODE_STEPS,
    GUNDAM_SLOTS,
    LARGE_SLOTS,
    Results,
    measure_bandwidth,
    measure_decode,
    measure_guards,
    measure_page,
    measure_prefill,
    measure_vision,
)
from bench.engine_table import format_table
from bench.full_size import build_checkpoint
from bench.memory import PeakMemory
from ocrd.checkpoint_format.architecture import read_architecture
from ocrd.checkpoint_format.published_tensors import count_parameters
from ocrd.engine.nn.autotune import tune
from ocrd.engine.nn.checkpoint import load_network
from ocrd.engine.nn.kernel_benchmark import synchronize
from ocrd.engine.nn.network import Network
from ocrd.engine.runtime.devices import DTYPES

LLAMA_CPP_PYTHON = Path("build/llama-cpp-venv/bin/python")
# Where the process that measures one dtype leaves its results.
PART = Path("build/part.json")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, default=Path("build/full-size"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=[*DTYPES, "both"], default="both")
    parser.add_argument("--llama-cpp", action="store_true")
    parser.add_argument("--no-page", action="store_true", help="omit the page of 1000 tokens")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    options = parser.parse_args()
    build_checkpoint(options.model)
    by_dtype: dict[str, Results] = {}
    for dtype in DTYPES if options.dtype == "both" else [options.dtype]:
        if options.dtype == "both":
            by_dtype[dtype] = measure_in_process(options, dtype)
        else:
            by_dtype[dtype] = measure(
                options.model, options.device, dtype=dtype, with_page=not options.no_page
            )
        # In float32 llama.cpp would need another 13 GB of disk and memory.
        if options.llama_cpp and dtype == "bfloat16":
            by_dtype[dtype]["llama_cpp"] = compare_with_llama_cpp(
                options.model, dtype, ours=by_dtype[dtype]
            )
    if options.json:
        results = {
            "machine": describe_machine(options.device),
            "date": time.strftime("%Y-%m-%d"),
            "by_dtype": by_dtype,
        }
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(format_table(by_dtype))


def measure_in_process(options: argparse.Namespace, dtype: str) -> Results:
    """Measure one dtype in a process of its own, so that no memory of another one counts."""
    argv = [sys.executable, "-m", "bench.engine", "--dtype", dtype, "--json", str(PART)]
    argv += ["--model", str(options.model), "--device", options.device]
    if options.no_page:
        argv.append("--no-page")
    subprocess.run(argv, check=True, stdout=sys.stderr)
    results: Results = json.loads(PART.read_text(encoding="utf-8"))["by_dtype"][dtype]
    return results


def measure(model: Path, device: str, *, dtype: str, with_page: bool) -> Results:
    """Measure everything with one dtype; progress goes to stderr as JSON."""
    results: Results = {"parameters": count_parameters(read_architecture(model))}

    def add(name: str, part: Results) -> None:
        results[name] = part
        print(json.dumps({name: part}), file=sys.stderr, flush=True)

    add("bandwidth", measure_bandwidth(torch.device(device)))
    network, load = measure_load(model, device, dtype=dtype)
    add("load", load)
    started = time.perf_counter()
    tuning = tune(network)
    add("tune", {"seconds": time.perf_counter() - started, **asdict(tuning)})
    with torch.inference_mode():
        add("vision", measure_vision(network))
        prefill = {str(slots): measure_prefill(network, slots)
                   for slots in (LARGE_SLOTS, GUNDAM_SLOTS)}  # fmt: skip
        add("prefill", prefill)
        decode = measure_decode(network)
    for kind in ("copy", "read"):
        share = decode["1"]["weight_gb_per_s"] / results["bandwidth"][kind]
        decode[f"share_of_{kind}"] = share
    add("decode", decode)
    add("guards", measure_guards(decode["1"]["seconds"]))
    if with_page:
        add("page", measure_page(network))
    return results


def measure_load(model: Path, device: str, *, dtype: str) -> tuple[Network, Results]:
    """Load the network, and measure the time and the peak of memory."""
    peak = PeakMemory(device)
    started = time.perf_counter()
    network = load_network(model, device, dtype=DTYPES[dtype])
    synchronize(network.device)
    seconds = time.perf_counter() - started
    peak_bytes = peak.bytes()
    weight_bytes = sum(p.numel() * p.element_size() for p in network.parameters())
    return network, {
        "seconds": seconds,
        "weight_bytes": weight_bytes,
        "peak_bytes": peak_bytes,
        "ratio": peak_bytes / weight_bytes,
    }


def compare_with_llama_cpp(model: Path, dtype: str, *, ours: Results) -> Results:
    """Measure llama.cpp with all cores, and compare; a speedup above 1 means that ocrd is faster.

    Raises:
        SystemExit: llama.cpp is not compiled.
    """
    if not LLAMA_CPP_PYTHON.exists():
        raise SystemExit(
            f"{LLAMA_CPP_PYTHON} is missing; make it with: python -m bench.llama_cpp --setup"
        )
    argv = [str(LLAMA_CPP_PYTHON), "-m", "bench.llama_cpp", "--json", "--model", str(model)]
    argv += ["--dtype", dtype, "--repeat", "2", "--tokens", str(DECODE_STEPS)]
    output = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    run = json.loads(output)
    errors = [part["error"] for part in (run["text"], run["vision"]) if "error" in part]
    if errors:
        return {"error": errors[0], "run": run}
    tokens_per_s = run["text"]["decode"]["tokens_per_s"]
    prefill_s = run["text"]["prefill"][-1]["s"]
    vision_s = run["vision"]["view_and_6_tiles"]["s"]
    our_vision_s = ours["vision"]["ocrd"]["view_s"] + ours["vision"]["ocrd"]["tiles_s"]
    return {
        "decode_tokens_per_s": tokens_per_s,
        "prefill_s": prefill_s,
        "vision_s": vision_s,
        "packages": run["packages"],
        "decode_speedup": ours["decode"]["1"]["tokens_per_s"] / tokens_per_s,
        "prefill_speedup": prefill_s / ours["prefill"][str(GUNDAM_SLOTS)]["seconds"],
        "vision_speedup": vision_s / our_vision_s,
        "run": run,
    }


def describe_machine(device: str) -> dict[str, object]:
    """The device, the processor and the versions that the figures are from."""
    if device == "cuda":
        name = torch.cuda.get_device_name()
    else:
        name = platform.processor() or platform.machine()
    return {
        "device": device,
        "name": name,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "system": platform.platform(terse=True),
    }


if __name__ == "__main__":
    main()
