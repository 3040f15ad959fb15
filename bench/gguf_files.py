"""A checkpoint in llama.cpp's own format (GGUF), written from its safetensors, without torch or
the project.
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
class Work:
    """What is to be measured.

    ``slots`` are prompt lengths, ``tokens`` how many are decoded after the last of them.
    """

    model: Path
    dtype: str
    tokens: int
    slots: list[int]
    layers: int
    threads: int
    repeat: int


def imported(name: str) -> Any:
    """A peer's module: none of them is where this file's types are checked."""
    return import_module(name)


def gguf_text(work: Work, config: Any) -> Path:
    """The decoder in llama.cpp's format, made unless it is there.

    As llama.cpp's own converter writes it, less the vocabulary.
    """
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
    return write_gguf(path, writer, shapes=shapes, read=read, exact=exact, dtype=work.dtype)


def gguf_vision(work: Work, config: Any) -> Path:
    """The eye in llama.cpp's format, made unless it is there."""
    gguf = imported("gguf")

    path = gguf_path(work, "vision")
    if path.exists():
        return path
    wide = config["vision_config"]["width"]
    clip = wide["clip-l-14-224"]
    sam = wide["sam_vit_b"]
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
    exact = {
        t
        for t in sources
        if len(shapes[t]) != 2 or "pos" in t or "embd" in t or t == "v.view_seperator"
    }
    return write_gguf(
        path,
        writer,
        shapes=shapes,
        read=lambda target: weights.read(sources[target]),
        exact=exact,
        dtype=work.dtype,
    )


def gguf_words(work: Work) -> Path:
    """A vocabulary of bytes and no weights.

    Llama.cpp takes no picture where it cannot turn the empty words around it into tokens.
    """
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
    path: Path,
    writer: Any,
    *,
    shapes: dict[str, list[int]],
    read: Callable[[str], Any],
    exact: set[str],
    dtype: str,
) -> Path:
    """One tensor in memory at a time.

    Those in ``exact``, and every vector, are float32 whatever ``dtype`` says.
    """
    gguf = imported("gguf")
    import numpy as np

    whole = {
        name
        for name, shape in shapes.items()
        if dtype == "float32" or len(shape) == 1 or name in exact
    }
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
        writer.write_tensor_data(
            (bits.astype(np.uint32) << 16).view(np.float32) if name in whole else bits
        )
    writer.close()
    return unfinished.replace(path)


@dataclass(frozen=True)
class Checkpoint:
    """A safetensors file in bfloat16, read without torch.

    Numpy has no such type, so tensors come as 16 bits.
    """

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
