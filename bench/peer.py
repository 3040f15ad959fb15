"""DeepSeek-OCR's work done by somebody else, for a figure to stand beside ours.

Two peers, both from the package index, in an environment of their own:

* ``llama``: llama.cpp (its ``deepseek2-ocr`` decoder and its ``deepseekocr`` eye), compiled for this very processor.
* ``mlx``: mlx-vlm's DeepSeek-OCR on mlx's CPU build. float32 only: its product of experts raises "[GatherMM::eval]
  Currently only supports float32", and its matrices go through the reference BLAS, on one core.

python bench/peer.py --setup                              # makes build/peer-venv: minutes, llama.cpp is compiled
build/peer-venv/bin/python bench/peer.py [--peer llama] [--dtype bfloat16] [--tokens 64]  # one JSON object on stdout

Nothing of the project is imported, so that the peer's environment need not hold it. Token ids and pixels are random:
neither peer's work depends on their values (the experts chosen do: a trained router's spread is not a random one's).
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
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / "build" / "peer-venv"
PINNED = ["llama-cpp-python==0.3.36", "gguf==0.19.0", "numpy==2.4.6", "pillow==12.3.0"]
if sys.platform == "linux":
    PINNED.append("mlx[cpu]==0.32.4")
else:
    PINNED.append("mlx==0.32.4")
PINNED_BARE = ["mlx-vlm==0.7.10"]
"""Without what it depends on: of mlx-vlm only the model's own files run here, not its server, audio or data sets."""
PACKAGES = ("llama-cpp-python", "gguf", "mlx", "mlx-cpu", "mlx-vlm", "numpy")

VIEW = (640, 640)
"""Width and height of a picture that llama.cpp reads as one view of 1024 and no tiles: 273 slots."""
PAGE = (1280, 1920)
"""One that it reads as a view and 2 x 3 tiles of 640: 903 slots."""

CAVEATS = {
    "llama": [
        "weights: matrices in the asked type, norms, biases, router and convolutions in float32; nothing is quantised",
        "the keys and values are kept in float16 (its default) and attention may run fused in float16",
        "bfloat16: products take bfloat16 weights and activations and add up in float32, with AVX512-BF16 where it is",
        "the weights are mapped, not read: load is short, and the first pass pays for what is not in the page cache",
        "compiled with -march=native on this machine, unlike a wheel; one pass takes up to 1024 slots",
        "vision: one pass per row of tiles, as its own tools do; its pixel work is timed apart, as prepare",
        "its threads spin where they wait: with a core busy elsewhere two are far slower than one; try --threads 1 too",
    ],
    "mlx": [
        "made for Apple's GPU: its CPU build links netlib's reference BLAS, which is slow and runs on one core",
        "float32 only for the text: its CPU build has no bfloat16 product of experts (Apple's GPU has)",
        "it computes the vocabulary's logits for every slot of the prompt, where one is needed",
        "nothing is quantised, though its users on a Mac mostly quantise to 4 or 8 bits",
    ],
}


@dataclass(frozen=True)
class Work:
    """What is to be measured: ``slots`` are prompt lengths, ``tokens`` how many are decoded after the last of them."""

    model: Path
    dtype: str
    tokens: int
    slots: list[int]
    layers: int
    threads: int
    repeat: int


def main() -> None:
    parser = argparse.ArgumentParser(description="Time DeepSeek-OCR's work in another implementation.")
    parser.add_argument("--setup", action="store_true", help=f"make {VENV.relative_to(ROOT)} and stop")
    parser.add_argument("--peer", choices=["llama", "mlx"], default="llama")
    parser.add_argument("--model", type=Path, default=ROOT / "build" / "full-size", help="as bench.full_size makes it")
    parser.add_argument("--dtype", choices=["bfloat16", "float32"], default="bfloat16")
    parser.add_argument("--tokens", type=int, default=64, help="to decode, one at a time")
    parser.add_argument("--slots", type=int, nargs="*", default=[421, 903], help="prompt lengths to prefill")
    parser.add_argument("--layers", type=int, default=0, help="only the first LAYERS of the decoder, for a quick try")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="llama only: mlx has no such choice")
    parser.add_argument("--repeat", type=int, default=3, help="times each thing is timed; the best counts")
    parser.add_argument("--skip", choices=["text", "vision"], nargs="*", default=[])
    parser.add_argument("--json", action="store_true", help="on one line")
    options = parser.parse_args()
    if options.setup:
        return setup()
    config = json.loads((options.model / "config.json").read_text(encoding="utf-8"))
    layers = options.layers or config["language_config"]["num_hidden_layers"]
    config["language_config"]["num_hidden_layers"] = layers
    work = Work(
        options.model, options.dtype, options.tokens, options.slots, layers, options.threads, max(1, options.repeat)
    )
    parts = {"llama": (llama_vision, llama_text), "mlx": (mlx_vision, mlx_text)}[options.peer]
    report: dict[str, Any] = {
        "peer": options.peer, "dtype": work.dtype, "layers": layers, "threads": work.threads,
        "packages": installed(), "python": platform.python_version(), "machine": platform.machine(),
    }  # fmt: skip
    for name, part in zip(("vision", "text"), parts, strict=True):
        if name not in options.skip:
            report[name] = attempt(part, work, config)
    report["peak_bytes"] = peak_bytes()
    report["caveats"] = CAVEATS[options.peer]
    print(json.dumps(report, indent=None if options.json else 1))
    return None


def setup() -> None:
    """The peers' own environment; llama.cpp is compiled for the processor it is made on."""
    print(f"making {VENV}; llama.cpp is compiled, which takes minutes", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
    pip = [str(VENV / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    native = os.environ | {"CMAKE_ARGS": "-DGGML_NATIVE=ON", "CMAKE_BUILD_PARALLEL_LEVEL": str(os.cpu_count() or 1)}
    subprocess.run([*pip, "--no-binary", "llama-cpp-python", *PINNED], check=True, env=native)
    subprocess.run([*pip, "--no-deps", *PINNED_BARE], check=True)


def installed() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def attempt(part: Callable[[Work, Any], dict[str, Any]], work: Work, config: Any) -> dict[str, Any]:
    """What ``part`` measured, or the error that it met: half a report is better than none."""
    try:
        return part(work, config)
    except (RuntimeError, ValueError, ImportError) as error:
        return {"error": f"{type(error).__name__}: {error}"}


def imported(name: str) -> Any:
    """A peer's module: none of them is where this file's types are checked."""
    return import_module(name)


def peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def timed(work: Work, load_s: float, prompt: Callable[[int], Any], step: Callable[[Any], Any]) -> dict[str, Any]:
    """The text half of a report. ``prompt`` prefills that many slots and answers the next token, ``step`` takes one
    token and answers the next; ``first_prefill_s`` is the one that meets cold weights."""
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


# llama.cpp


def llama_text(work: Work, config: Any) -> dict[str, Any]:
    import ctypes

    llama_cpp = imported("llama_cpp")
    import numpy as np

    path = gguf_text(work, config)
    quiet = llama_cpp.llama_log_callback(lambda level, text, data: None)
    llama_cpp.llama_log_set(quiet, ctypes.c_void_p(0))
    start = time.perf_counter()
    llama_cpp.llama_backend_init()
    model = llama_cpp.llama_model_load_from_file(str(path).encode(), llama_cpp.llama_model_default_params())
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

    report = timed(work, load_s, prompt, lambda token: feed([token]))
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
        pixels = (ctypes.c_uint8 * (width * height * 3)).from_buffer_copy(os.urandom(width * height * 3))
        bitmap = mtmd.mtmd_bitmap_init(width, height, pixels)
        chunks = mtmd.mtmd_input_chunks_init()
        part = mtmd.mtmd_input_part(bitmap=bitmap)
        parts = (ctypes.POINTER(mtmd.mtmd_input_part) * 1)(ctypes.pointer(part))
        start = time.perf_counter()
        if mtmd.mtmd_tokenize_from_parts(context, chunks, parts, 1, False) != 0:
            raise RuntimeError("llama.cpp did not take the picture")
        prepare_s = time.perf_counter() - start
        every = [mtmd.mtmd_input_chunks_get(chunks, i) for i in range(mtmd.mtmd_input_chunks_size(chunks))]
        image = mtmd.MTMD_INPUT_CHUNK_TYPE_IMAGE
        images = [chunk for chunk in every if mtmd.mtmd_input_chunk_get_type(chunk) == image]

        def encode(images: list[Any] = images) -> None:
            for chunk in images:
                if mtmd.mtmd_encode_chunk(context, chunk) != 0:
                    raise RuntimeError("llama.cpp did not encode the picture")

        encode_s = min(seconds(encode) for _ in range(work.repeat))
        slots = sum(mtmd.mtmd_input_chunk_get_n_tokens(chunk) for chunk in images)
        report[name] = {"s": encode_s, "prepare_s": prepare_s, "passes": len(images), "slots": slots}
        mtmd.mtmd_input_chunks_free(chunks)
        mtmd.mtmd_bitmap_free(bitmap)
    mtmd.mtmd_free(context)
    llama_cpp.llama_model_free(words)
    return report


def gguf_text(work: Work, config: Any) -> Path:
    """The decoder in llama.cpp's format, made unless it is there; as llama.cpp's own converter writes it, less the
    vocabulary."""
    gguf = imported("gguf")
    import numpy as np

    path = gguf_path(work, f"text-{work.layers}")
    if path.exists():
        return path
    shape = config["language_config"]
    writer = gguf.GGUFWriter(None, gguf.MODEL_ARCH_NAMES[gguf.MODEL_ARCH.DEEPSEEK2OCR])
    writer.add_tokenizer_model("no_vocab")
    writer.add_vocab_size(shape["vocab_size"])
    writer.add_context_length(shape["max_position_embeddings"])
    writer.add_embedding_length(shape["hidden_size"])
    writer.add_block_count(work.layers)
    writer.add_feed_forward_length(shape["intermediate_size"])
    writer.add_head_count(shape["num_attention_heads"])
    writer.add_head_count_kv(shape["num_key_value_heads"])
    writer.add_rope_dimension_count(shape["hidden_size"] // shape["num_attention_heads"])
    writer.add_rope_freq_base(10_000.0)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_leading_dense_block_count(shape["first_k_dense_replace"])
    writer.add_expert_count(shape["n_routed_experts"])
    writer.add_expert_used_count(shape["num_experts_per_tok"])
    writer.add_expert_shared_count(shape["n_shared_experts"])
    writer.add_expert_feed_forward_length(shape["moe_intermediate_size"])
    weights = Checkpoint.opened(work.model)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.DEEPSEEK2OCR, work.layers)
    sources: dict[str, list[str]] = {}
    for name in weights.entries:
        first, _, rest = name.removeprefix("model.").partition(".")
        if first not in ("layers", "embed_tokens", "norm", "lm_head"):
            continue
        if first == "layers" and int(rest.partition(".")[0]) >= work.layers:
            continue
        block, experts, expert = name.partition(".mlp.experts.")
        key = block + experts + expert.partition(".")[2] if experts else name
        sources.setdefault(gguf_name(names, key), []).append(name)
    exact = {name for name in sources if "norm" in name or "ffn_gate_inp" in name}

    def read(target: str) -> Any:
        stacked = [weights.read(name) for name in sources[target]]
        return np.stack(stacked) if "_exps" in target else stacked[0]

    shapes = {
        target: ([len(found)] if "_exps" in target else []) + weights.entries[found[0]]["shape"]
        for target, found in sources.items()
    }
    return write_gguf(path, writer, shapes, read, exact, work.dtype)


def gguf_vision(work: Work, config: Any) -> Path:
    """The eye in llama.cpp's format, made unless it is there."""
    gguf = imported("gguf")

    path = gguf_path(work, "vision")
    if path.exists():
        return path
    wide = config["vision_config"]["width"]
    clip, sam = wide["clip-l-14-224"], wide["sam_vit_b"]
    writer = gguf.GGUFWriter(None, "clip")
    writer.add_type(gguf.GGUFType.MMPROJ)
    writer.add_clip_has_vision_encoder(True)
    writer.add_clip_projector_type("deepseekocr")
    writer.add_vision_projection_dim(config["language_config"]["hidden_size"])
    writer.add_vision_image_size(config["vision_config"]["image_size"])
    writer.add_vision_patch_size(clip["patch_size"])
    writer.add_vision_embedding_length(clip["width"])
    writer.add_vision_feed_forward_length(4 * clip["width"])
    writer.add_vision_block_count(clip["layers"])
    writer.add_vision_head_count(clip["heads"])
    writer.add_vision_attention_layernorm_eps(1e-6)
    writer.add_vision_image_mean([0.5, 0.5, 0.5])
    writer.add_vision_image_std([0.5, 0.5, 0.5])
    writer.add_vision_use_gelu(True)
    writer.add_vision_window_size(14)
    writer.add_vision_sam_layers_count(sam["layers"])
    writer.add_vision_sam_embedding_length(sam["width"])
    writer.add_vision_sam_head_count(sam["heads"])
    weights = Checkpoint.opened(work.model)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.MMPROJ, max(clip["layers"], sam["layers"]))
    sources = {}
    for name in weights.entries:
        if name.startswith(("model.layers.", "model.embed_tokens.", "model.norm.", "lm_head.")):
            continue
        bare = name.endswith(("pos_embed", "rel_pos_h", "rel_pos_w"))
        sources[gguf_name(names, name + ".weight" if bare else name)] = name
    shapes = {target: weights.entries[name]["shape"] for target, name in sources.items()}
    shapes["v.view_seperator"] = [1, *shapes["v.view_seperator"]]
    exact = {t for t in sources if len(shapes[t]) != 2 or "pos" in t or "embd" in t or t == "v.view_seperator"}
    return write_gguf(path, writer, shapes, lambda target: weights.read(sources[target]), exact, work.dtype)


def gguf_words(work: Work) -> Path:
    """A vocabulary of bytes and no weights: llama.cpp takes no picture where it cannot turn the empty words around it
    into tokens."""
    gguf = imported("gguf")

    path = gguf_path(work, "words")
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    letters = [chr(code) for code in (*printable, *range(0x100, 0x144))]
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[gguf.MODEL_ARCH.DEEPSEEK2OCR])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([*letters, "ab"])
    writer.add_token_types([gguf.TokenType.NORMAL] * (len(letters) + 1))
    writer.add_token_merges(["a b"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path


def gguf_path(work: Work, part: str) -> Path:
    """Named for the checkpoint's age too: another one is another file."""
    (weights,) = work.model.glob("*.safetensors")
    folder = ROOT / "build" / "peer"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{work.model.name}-{weights.stat().st_mtime_ns:x}-{part}-{work.dtype}.gguf"


def gguf_name(names: Any, name: str) -> str:
    found = names.get_name(name, try_suffixes=(".weight", ".bias"))
    if found is None:
        raise ValueError(f"llama.cpp has no name for {name}")
    return str(found)


def write_gguf(
    path: Path, writer: Any, shapes: dict[str, list[int]], read: Callable[[str], Any], exact: set[str], dtype: str
) -> Path:
    """One tensor in memory at a time; those in ``exact``, and every vector, are float32 whatever ``dtype`` says."""
    gguf = imported("gguf")
    import numpy as np

    whole = {name for name, shape in shapes.items() if dtype == "float32" or len(shape) == 1 or name in exact}
    for name, shape in shapes.items():
        kind = gguf.GGMLQuantizationType.F32 if name in whole else gguf.GGMLQuantizationType.BF16
        size = int(np.prod(shape)) * (4 if name in whole else 2)
        writer.add_tensor_info(name, shape, np.dtype(np.float32), size, raw_dtype=kind)
    unfinished = path.with_suffix(".partial")
    writer.write_header_to_file(unfinished)
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for name in shapes:
        bits = read(name)
        writer.write_tensor_data((bits.astype(np.uint32) << 16).view(np.float32) if name in whole else bits)
    writer.close()
    return unfinished.replace(path)


@dataclass(frozen=True)
class Checkpoint:
    """A safetensors file in bfloat16, read without torch: numpy has no such type, so tensors come as 16 bits."""

    path: Path
    start: int
    entries: dict[str, Any]

    @classmethod
    def opened(cls, folder: Path) -> Checkpoint:
        (path,) = folder.glob("*.safetensors")
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(size))
        header.pop("__metadata__", None)
        if any(entry["dtype"] != "BF16" for entry in header.values()):
            raise ValueError(f"{path} is not in bfloat16 throughout")
        return cls(path, 8 + size, header)

    def read(self, name: str) -> Any:
        import numpy as np

        entry = self.entries[name]
        begin, end = entry["data_offsets"]
        bits = np.fromfile(self.path, np.uint16, (end - begin) // 2, offset=self.start + begin)
        return bits.reshape(entry["shape"])


# mlx-vlm


def mlx_text(work: Work, config: Any) -> dict[str, Any]:
    mx = imported("mlx.core")
    import numpy as np

    start = time.perf_counter()
    model = mlx_model(work, config, text=True)
    load_s = time.perf_counter() - start
    make_cache = mlx_module("cache").make_prompt_cache
    random = np.random.default_rng(1)

    cache: list[Any] = []

    def step(ids: Any) -> Any:
        token = model.language_model(ids, cache=cache).logits[:, -1:, :].argmax(axis=-1)
        mx.eval(token)
        return token

    def prompt(slots: int) -> Any:
        cache[:] = make_cache(model.language_model)
        return step(mx.array(random.integers(0, 128_000, (1, slots))))

    return timed(work, load_s, prompt, step)


def mlx_vision(work: Work, config: Any) -> dict[str, Any]:
    mx = imported("mlx.core")

    start = time.perf_counter()
    model = mlx_model(work, config, text=False)
    report: dict[str, Any] = {"load_s": time.perf_counter() - start}
    dtype = getattr(mx, work.dtype)

    def encode(tiles: int, size: int) -> None:
        """As the model's own get_input_embeddings does it, up to where the features are laid among the words."""
        pixels = mx.random.uniform(-1, 1, (tiles, size, size, 3)).astype(dtype)
        seen = model.sam_model(pixels)
        both = mx.concatenate((model.vision_model(pixels, seen)[:, 1:], seen.flatten(1, 2)), axis=-1)
        mx.eval(model.projector(both))

    view_s = min(seconds(lambda: encode(1, 1024)) for _ in range(work.repeat))
    tiles_s = min(seconds(lambda: encode(6, 640)) for _ in range(work.repeat))
    return report | {"view": {"s": view_s}, "view_and_6_tiles": {"s": view_s + tiles_s}}


def mlx_model(work: Work, config: Any, text: bool) -> Any:
    """mlx-vlm's model with one half of its weights loaded, the other left unmade (mlx is lazy): both need 13 GB."""
    mx = imported("mlx.core")
    tree_flatten = imported("mlx.utils").tree_flatten

    module = mlx_module("deepseekocr.deepseekocr")
    settings = mlx_module("deepseekocr.config").ModelConfig.from_dict(
        json.loads(json.dumps(config))
        | {
            "vision_config": {"model_type": "vision"},
            "projector_config": {"projector_type": "linear", "input_dim": 2048, "n_embed": 1280},
        }
    )
    model = module.Model(settings)
    (path,) = work.model.glob("*.safetensors")
    weights = module.Model.sanitize(mx.load(str(path)))
    weights = {name: value for name, value in weights.items() if name.startswith("language_model.") == text}
    if text:
        weights = {name: value for name, value in weights.items() if wanted(name, work.layers)}
        weights = model.language_model.sanitize(weights)
    else:
        weights = model.vision_model.sanitize(weights)
    missing = {name for name, _ in tree_flatten(model.parameters()) if name.startswith("language_model.") == text}
    if missing != weights.keys():
        raise ValueError(f"mlx-vlm's model and the checkpoint differ in {sorted(missing ^ weights.keys())[:4]}")
    dtype = getattr(mx, work.dtype)
    while weights:  # one by one, letting go of each source: all at once would hold the checkpoint twice
        name, value = weights.popitem()
        value = value.astype(dtype)
        mx.eval(value)
        model.load_weights([(name, value)], strict=False)
        mx.clear_cache()
    return model


def wanted(name: str, layers: int) -> bool:
    _, found, after = name.partition(".layers.")
    return not found or int(after.partition(".")[0]) < layers


def mlx_module(name: str) -> Any:
    """A file of mlx-vlm's model, without its packages' ``__init__``, which import audio, data sets and a server."""
    for package in ("mlx_vlm", "mlx_vlm.models", "mlx_vlm.models.deepseekocr"):
        if package not in sys.modules:
            bare = ModuleType(package)
            bare.__path__ = [str(distribution("mlx-vlm").locate_file(package.replace(".", "/")))]
            sys.modules[package] = bare
    return imported(f"mlx_vlm.models.{name}")


if __name__ == "__main__":
    main()
