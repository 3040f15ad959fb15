"""A repository as the hub would hold it, made from the pocket model.

Shards, an index, code, and what is not wanted.
"""

from __future__ import annotations

import json
from functools import cache

from safetensors.torch import load_file, save

from ocrd.checkpoint_format.weight_files import INDEX_FILE
from ocrd.model.remote_code_check import MODELING_FILE
from ocrd.paths import POCKET_MODEL

REPO = "some-org/Some.OCR-model"
SHARDS = ("model-00001-of-000002.safetensors", "model-00002-of-000002.safetensors")
MENDED = (
    "def f(x, m, y):\n    y = y.to(device=x.device, dtype=x.dtype)\n    x.masked_scatter_(m, y)\n"
)


@cache
def _shards() -> tuple[dict[str, bytes], bytes]:
    tensors = load_file(POCKET_MODEL / "model.safetensors")
    names = sorted(tensors)
    halves = dict(zip(SHARDS, (names[: len(names) // 2], names[len(names) // 2 :]), strict=True))
    index = {
        "metadata": {},
        "weight_map": {n: shard for shard, half in halves.items() for n in half},
    }
    return {
        shard: save({n: tensors[n] for n in half}) for shard, half in halves.items()
    }, json.dumps(index).encode()


def published_files() -> dict[str, bytes]:
    shards, index = _shards()
    return {
        "config.json": (POCKET_MODEL / "config.json").read_bytes(),
        "tokenizer.json": (POCKET_MODEL / "tokenizer.json").read_bytes(),
        MODELING_FILE: MENDED.encode(),
        INDEX_FILE: index,
        "README.md": b"# not wanted",
        "weights.bin": b"a pickle, never wanted",
        "assets/picture.png": b"not wanted either",
        **shards,
    }


WANTED = ("config.json", "tokenizer.json", MODELING_FILE, INDEX_FILE, *SHARDS)
