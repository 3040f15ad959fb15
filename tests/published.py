"""A repository as the hub would have it, made from the pocket model.

It has shards with an index, Python code, and files that are not fetched.
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
# Code that converts image features, as at the pinned revision.
GOOD_CODE = (
    "def f(x, m, y):\n    y = y.to(device=x.device, dtype=x.dtype)\n    x.masked_scatter_(m, y)\n"
)
# The files that ocrd fetches.
MODEL_FILES = ("config.json", "tokenizer.json", MODELING_FILE, INDEX_FILE, *SHARDS)


def published_files() -> dict[str, bytes]:
    return {
        "config.json": (POCKET_MODEL / "config.json").read_bytes(),
        "tokenizer.json": (POCKET_MODEL / "tokenizer.json").read_bytes(),
        MODELING_FILE: GOOD_CODE.encode(),
        "README.md": b"# not fetched",
        "weights.bin": b"a pickle, never fetched",
        "assets/picture.png": b"not fetched either",
        **_weight_files(),
    }


def model_bytes() -> int:
    """The size of the files that ocrd fetches."""
    return sum(len(published_files()[name]) for name in MODEL_FILES)


@cache
def _weight_files() -> dict[str, bytes]:
    tensors = load_file(POCKET_MODEL / "model.safetensors")
    names = sorted(tensors)
    middle = len(names) // 2
    shards = dict(zip(SHARDS, (names[:middle], names[middle:]), strict=True))
    weight_map = {name: shard for shard, members in shards.items() for name in members}
    files = {
        shard: save({name: tensors[name] for name in members}) for shard, members in shards.items()
    }
    return files | {INDEX_FILE: json.dumps({"metadata": {}, "weight_map": weight_map}).encode()}
