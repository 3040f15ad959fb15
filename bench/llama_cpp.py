"""Measure llama.cpp's DeepSeek-OCR, for comparison with ocrd.

It has a ``deepseek2-ocr`` decoder and a ``deepseekocr`` vision encoder. It is compiled for this
processor, in an environment of its own:

    # make build/llama-cpp-venv
    python -m bench.llama_cpp --setup
    # print one JSON object
    build/llama-cpp-venv/bin/python -m bench.llama_cpp [--dtype bfloat16] [--tokens 64]

mlx-vlm, the other implementation on the package index, cannot be compared on this system: mlx's CPU
build has no bfloat16 product for experts ("[GatherMM::eval] Currently only supports float32"), and
its float32 uses netlib's reference BLAS at 2 GFLOP/s. Token ids and pixels are random: the work
depends on them only in which experts are chosen.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bench.gguf_files import ROOT, Workload
from bench.llama_cpp_runs import measure_text, measure_vision

VENV = ROOT / "build" / "llama-cpp-venv"
PINNED = ["llama-cpp-python==0.3.36", "gguf==0.19.0", "numpy==2.4.6"]
PACKAGES = ("llama-cpp-python", "gguf", "numpy")

CAVEATS = [
    "weights: matrices in the given dtype; norms, biases, router and convolutions in float32; "
    "nothing is quantised",
    "keys and values are kept in float16 (its default), and attention may run fused in float16",
    "bfloat16: products take bfloat16 weights and activations and add up in float32, with "
    "AVX512-BF16 where it exists",
    "the weights are mapped, not read: load is short, and the first pass pays for what is not in "
    "the page cache",
    "compiled with -march=native on this machine, unlike a wheel; one pass takes up to 1024 slots",
    "vision: one pass per row of tiles, as in its own tools; preparing the pixels is timed "
    "separately, as prepare_s",
    "its threads spin while they wait: when a core is busy with something else, two are far slower "
    "than one; try --threads 1 too",
]


def main() -> None:
    options = parse_options()
    if options.setup:
        set_up()
        return
    config = json.loads((options.model / "config.json").read_text(encoding="utf-8"))
    layers = options.layers or config["language_config"]["num_hidden_layers"]
    config["language_config"]["num_hidden_layers"] = layers
    work = Workload(
        model=options.model,
        dtype=options.dtype,
        tokens=options.tokens,
        slots=options.slots,
        layers=layers,
        threads=options.threads,
        repeat=max(1, options.repeat),
    )
    report: dict[str, Any] = {
        "program": "llama.cpp",
        "dtype": work.dtype,
        "layers": layers,
        "threads": work.threads,
        "packages": installed_versions(),
        "python": platform.python_version(),
        "machine": platform.machine(),
    }
    for name, measure in (("vision", measure_vision), ("text", measure_text)):
        if name not in options.skip:
            report[name] = measure_or_error(measure, work, config=config)
    report["peak_bytes"] = peak_bytes()
    report["caveats"] = CAVEATS
    print(json.dumps(report, indent=None if options.json else 1))


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure llama.cpp's DeepSeek-OCR.")
    add = parser.add_argument
    add("--setup", action="store_true", help=f"make {VENV.relative_to(ROOT)} and stop")
    add(
        "--model",
        type=Path,
        default=ROOT / "build" / "full-size",
        help="a folder that bench.full_size made",
    )
    add("--dtype", choices=["bfloat16", "float32"], default="bfloat16")
    add("--tokens", type=int, default=64, help="tokens to decode, one at a time")
    add("--slots", type=int, nargs="*", default=[421, 903], help="prompt lengths to prefill")
    add("--layers", type=int, default=0, help="only the first LAYERS of the decoder")
    add("--threads", type=int, default=os.cpu_count() or 1, help="threads of llama.cpp")
    add("--repeat", type=int, default=3, help="runs of each measurement; the fastest counts")
    add("--skip", choices=["text", "vision"], nargs="*", default=[])
    add("--json", action="store_true", help="print on one line")
    return parser.parse_args()


def set_up() -> None:
    """Make the environment; llama.cpp is compiled for this machine's processor."""
    print(f"making {VENV}; compiling llama.cpp takes minutes", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
    pip = [str(VENV / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    native = os.environ | {
        "CMAKE_ARGS": "-DGGML_NATIVE=ON",
        "CMAKE_BUILD_PARALLEL_LEVEL": str(os.cpu_count() or 1),
    }
    subprocess.run([*pip, "--no-binary", "llama-cpp-python", *PINNED], check=True, env=native)


def installed_versions() -> dict[str, str]:
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def measure_or_error(
    measure: Callable[[Workload, Any], dict[str, Any]], work: Workload, *, config: Any
) -> dict[str, Any]:
    """What was measured, or the error: half a report is better than none."""
    try:
        return measure(work, config)
    except (RuntimeError, ValueError, ImportError) as error:
        return {"error": f"{type(error).__name__}: {error}"}


def peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    main()
