"""Write a checkpoint in llama.cpp's format (GGUF), from its safetensors.

This module runs in the environment of `bench.llama_cpp`, so it uses neither torch nor the project.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Workload:
    """What `bench.llama_cpp` measures, and with how many threads and repetitions."""

    model: Path
    # ``bfloat16`` or ``float32``.
    dtype: str
    # Tokens to decode after the last prompt.
    tokens: int
    # Prompt lengths.
    slots: list[int]
    layers: int
    threads: int
    repeat: int


def import_untyped(name: str) -> Any:
    """Import a module that is not installed where this file's types are checked."""
    return import_module(name)


@dataclass(frozen=True)
class Checkpoint:
    """A safetensors file in bfloat16, read without torch; numpy sees its numbers as 16 bits."""

    path: Path
    data_start: int
    # The header: ``shape`` and ``data_offsets`` of each tensor.
    entries: dict[str, Any]

    @classmethod
    def open(cls, folder: Path) -> Checkpoint:
        """Read the header of the only safetensors file in ``folder``.

        Raises:
            ValueError: A tensor is not in bfloat16.
        """
        (path,) = folder.glob("*.safetensors")
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(size))
        header.pop("__metadata__", None)
        if any(entry["dtype"] != "BF16" for entry in header.values()):
            raise ValueError(f"{path} is not in bfloat16 throughout")
        return cls(path, 8 + size, header)

    def shape(self, name: str) -> list[int]:
        shape: list[int] = self.entries[name]["shape"]
        return shape

    def read(self, name: str) -> Any:
        """The tensor's numbers as a numpy array of 16-bit integers."""
        np = import_untyped("numpy")
        first, last = self.entries[name]["data_offsets"]
        bits = np.fromfile(
            self.path, np.uint16, (last - first) // 2, offset=self.data_start + first
        )
        return bits.reshape(self.shape(name))


def write_decoder(work: Workload, config: Any) -> Path:
    """Write the decoder without its vocabulary, unless the file exists.

    The contents are those that llama.cpp's own converter writes.
    """
    gguf = import_untyped("gguf")
    np = import_untyped("numpy")
    path = _gguf_path(work, f"text-{work.layers}")
    if path.exists():
        return path
    writer = gguf.GGUFWriter(None, gguf.MODEL_ARCH_NAMES[gguf.MODEL_ARCH.DEEPSEEK2OCR])
    _add_decoder_sizes(writer, config["language_config"], layers=work.layers)
    checkpoint = Checkpoint.open(work.model)
    sources = _decoder_sources(checkpoint, work.layers)
    exact = {name for name in sources if "norm" in name or "ffn_gate_inp" in name}

    def read(target: str) -> Any:
        tensors = [checkpoint.read(name) for name in sources[target]]
        return np.stack(tensors) if _is_experts(target) else tensors[0]

    shapes = {
        target: ([len(names)] if _is_experts(target) else []) + checkpoint.shape(names[0])
        for target, names in sources.items()
    }
    return _write_gguf(path, writer, shapes=shapes, read=read, exact=exact, dtype=work.dtype)


def _is_experts(target: str) -> bool:
    """Whether a tensor of the GGUF file holds all experts of a layer, stacked."""
    return "_exps" in target


def _add_decoder_sizes(writer: Any, sizes: Any, *, layers: int) -> None:
    writer.add_tokenizer_model("no_vocab")
    writer.add_vocab_size(sizes["vocab_size"])
    writer.add_context_length(sizes["max_position_embeddings"])
    writer.add_embedding_length(sizes["hidden_size"])
    writer.add_block_count(layers)
    writer.add_feed_forward_length(sizes["intermediate_size"])
    writer.add_head_count(sizes["num_attention_heads"])
    writer.add_head_count_kv(sizes["num_key_value_heads"])
    writer.add_rope_dimension_count(sizes["hidden_size"] // sizes["num_attention_heads"])
    writer.add_rope_freq_base(10_000.0)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_leading_dense_block_count(sizes["first_k_dense_replace"])
    writer.add_expert_count(sizes["n_routed_experts"])
    writer.add_expert_used_count(sizes["num_experts_per_tok"])
    writer.add_expert_shared_count(sizes["n_shared_experts"])
    writer.add_expert_feed_forward_length(sizes["moe_intermediate_size"])


def _decoder_sources(checkpoint: Checkpoint, layers: int) -> dict[str, list[str]]:
    """The checkpoint's tensors for each tensor of the GGUF file; several are stacked experts."""
    gguf = import_untyped("gguf")
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.DEEPSEEK2OCR, layers)
    sources: dict[str, list[str]] = {}
    for name in checkpoint.entries:
        first, _, rest = name.removeprefix("model.").partition(".")
        if first not in ("layers", "embed_tokens", "norm", "lm_head"):
            continue
        if first == "layers" and int(rest.partition(".")[0]) >= layers:
            continue
        block, experts, expert = name.partition(".mlp.experts.")
        unnumbered = block + experts + expert.partition(".")[2] if experts else name
        sources.setdefault(_gguf_name(names, unnumbered), []).append(name)
    return sources


def write_vision_encoder(work: Workload, config: Any) -> Path:
    """Write both vision encoders and the projector, unless the file exists."""
    gguf = import_untyped("gguf")
    path = _gguf_path(work, "vision")
    if path.exists():
        return path
    clip = config["vision_config"]["width"]["clip-l-14-224"]
    sam = config["vision_config"]["width"]["sam_vit_b"]
    writer = gguf.GGUFWriter(None, "clip")
    _add_vision_sizes(writer, config, clip=clip, sam=sam)
    checkpoint = Checkpoint.open(work.model)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.MMPROJ, max(clip["layers"], sam["layers"]))
    sources = {}
    for name in checkpoint.entries:
        if name.startswith(("model.layers.", "model.embed_tokens.", "model.norm.", "lm_head.")):
            continue
        without_suffix = name.endswith(("pos_embed", "rel_pos_h", "rel_pos_w"))
        sources[_gguf_name(names, name + ".weight" if without_suffix else name)] = name
    shapes = {target: checkpoint.shape(name) for target, name in sources.items()}
    shapes["v.view_seperator"] = [1, *shapes["v.view_seperator"]]
    exact = {
        target
        for target, shape in shapes.items()
        if len(shape) != 2 or "pos" in target or "embd" in target or target == "v.view_seperator"
    }
    return _write_gguf(
        path,
        writer,
        shapes=shapes,
        read=lambda target: checkpoint.read(sources[target]),
        exact=exact,
        dtype=work.dtype,
    )


def _add_vision_sizes(writer: Any, config: Any, *, clip: Any, sam: Any) -> None:
    gguf = import_untyped("gguf")
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


def write_vocabulary(work: Workload) -> Path:
    """Write a vocabulary of bytes and no weights.

    llama.cpp accepts a picture only if it can tokenize the empty texts around it.
    """
    gguf = import_untyped("gguf")
    path = _gguf_path(work, "vocabulary")
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


def _gguf_path(work: Workload, part: str) -> Path:
    """The name contains the checkpoint's time, so that another checkpoint is another file."""
    (weights,) = work.model.glob("*.safetensors")
    folder = ROOT / "build" / "llama-cpp"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{work.model.name}-{weights.stat().st_mtime_ns:x}-{part}-{work.dtype}.gguf"


def _gguf_name(names: Any, name: str) -> str:
    found = names.get_name(name, try_suffixes=(".weight", ".bias"))
    if found is None:
        raise ValueError(f"llama.cpp has no name for {name}")
    return str(found)


def _write_gguf(
    path: Path,
    writer: Any,
    *,
    shapes: dict[str, list[int]],
    read: Callable[[str], Any],
    exact: set[str],
    dtype: str,
) -> Path:
    """Write the tensors, one of them in memory at a time.

    Args:
        path: The file.
        writer: gguf's writer, with the sizes.
        shapes: Shape of each tensor.
        read: Returns a tensor's numbers, as from `Checkpoint.read`.
        exact: Tensors in float32, whatever ``dtype`` is. Vectors always are.
        dtype: Of the other tensors.
    """
    gguf = import_untyped("gguf")
    np = import_untyped("numpy")
    in_float32 = {
        name
        for name, shape in shapes.items()
        if dtype == "float32" or len(shape) == 1 or name in exact
    }
    for name, shape in shapes.items():
        is_float32 = name in in_float32
        kind = gguf.GGMLQuantizationType.F32 if is_float32 else gguf.GGMLQuantizationType.BF16
        size = int(np.prod(shape)) * (4 if is_float32 else 2)
        writer.add_tensor_info(name, shape, np.dtype(np.float32), size, raw_dtype=kind)
    unfinished = path.with_suffix(".partial")
    writer.write_header_to_file(unfinished)
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for name in shapes:
        bits = read(name)
        if name in in_float32:  # a bfloat16 is the upper half of a float32
            writer.write_tensor_data((bits.astype(np.uint32) << 16).view(np.float32))
        else:
            writer.write_tensor_data(bits)
    writer.close()
    return unfinished.replace(path)
