"""Make a checkpoint of DeepSeek-OCR's real size in the published layout, with random weights.

It is for measurements; it cannot read anything.

    python -m bench.full_size build/full-size
"""

from __future__ import annotations

import hashlib
import itertools
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from ocrd.checkpoint_format.architecture import parse_architecture
from ocrd.checkpoint_format.published_tensors import Shape, published_tensors
from ocrd.model.manifest import (
    Manifest,
    ManifestEntry,
    is_model_file,
    read_manifest,
    write_manifest,
)

WEIGHTS = "model-00001-of-000001.safetensors"
REPO = "ocrd/full-size"
# Standard deviation of the weights: the usual one for an untrained model, so that activations stay
# finite.
STANDARD_DEVIATION = 0.02
# Random numbers that are drawn once and written again and again. Drawing 3.3 billion would take
# minutes.
BLOCK_NUMBERS = 1 << 25
# Tokens of the published tokenizer; its last one is ``<image>``, 128815.
VOCAB_SIZE = 128_816

CONFIG: dict[str, Any] = {
    "architectures": ["DeepseekOCRForCausalLM"],
    "model_type": "deepseek_vl_v2",
    "language_config": {
        "bos_token_id": 0,
        "eos_token_id": 1,
        "first_k_dense_replace": 1,
        "hidden_size": 1280,
        "intermediate_size": 6848,
        "max_position_embeddings": 8192,
        "moe_intermediate_size": 896,
        "n_routed_experts": 64,
        "n_shared_experts": 2,
        "num_attention_heads": 10,
        "num_experts_per_tok": 6,
        "num_hidden_layers": 12,
        "num_key_value_heads": 10,
        "topk_method": "greedy",
        "use_mla": False,
        "vocab_size": 129280,
    },
    "vision_config": {
        "image_size": 1024,
        "width": {
            "clip-l-14-224": {
                "heads": 16,
                "image_size": 224,
                "layers": 24,
                "patch_size": 14,
                "width": 1024,
            },
            "sam_vit_b": {
                "downsample_channels": [512, 1024],
                "global_attn_indexes": [2, 5, 8, 11],
                "heads": 12,
                "layers": 12,
                "width": 768,
            },
        },
    },
}


def build_checkpoint(folder: Path) -> Path:
    """Make the checkpoint in ``folder`` (6.67 GB in bfloat16), unless there is a model already."""
    if read_manifest(folder) is not None:
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG, indent=1), encoding="utf-8")
    (folder / "tokenizer.json").write_text(json.dumps(_tokenizer(VOCAB_SIZE)), encoding="utf-8")
    _write_weights(folder / WEIGHTS, published_tensors(parse_architecture(CONFIG)))
    files = {}
    for path in folder.iterdir():
        if is_model_file(path.name):
            with path.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            files[path.name] = ManifestEntry(path.stat().st_size, sha256=sha256)
    write_manifest(folder, Manifest(REPO, None, files))
    return folder


def _tokenizer(size: int) -> dict[str, Any]:
    """A byte-pair tokenizer of this size, with merges that mean nothing."""
    letters = [chr(0x4E00 + i) for i in range(256)]
    merges: list[tuple[str, str]] = []
    tokens = list(letters)
    for prefix in itertools.chain(letters, itertools.product(letters, letters)):
        for letter in letters:
            if len(tokens) < size - 1:
                merges.append(("".join(prefix), letter))
                tokens.append("".join(prefix) + letter)
    image_token = {"id": len(tokens), "content": "<image>", "special": True}
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {
        "version": "1.0",
        "added_tokens": [image_token | flags],
        "pre_tokenizer": {
            "type": "ByteLevel",
            "add_prefix_space": False,
            "trim_offsets": True,
            "use_regex": True,
        },
        "model": {
            "type": "BPE",
            "vocab": {token: i for i, token in enumerate(tokens)},
            "merges": merges,
        },
    }


def _write_weights(path: Path, tensors: dict[str, Shape]) -> None:
    entries: dict[str, Any] = {}
    end = 0
    for name, shape in tensors.items():
        start = end
        end = start + 2 * int(np.prod(shape))
        entries[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [start, end]}
    header = json.dumps(entries).encode()
    header += b" " * (-len(header) % 8)
    generator = np.random.default_rng(1)
    random = generator.standard_normal(BLOCK_NUMBERS, dtype=np.float32) * STANDARD_DEVIATION
    # A bfloat16 is the upper half of a float32.
    block = (random.view(np.uint32) >> 16).astype(np.uint16).tobytes()
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        while end > 0:
            file.write(block[:end])
            end -= len(block)


if __name__ == "__main__":
    print(build_checkpoint(Path(sys.argv[1])))
