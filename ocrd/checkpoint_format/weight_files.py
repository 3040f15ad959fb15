"""The safetensors files of a checkpoint: which ones there are, and what their headers say.

No weights are read here. A file is 8 bytes with the header's length (little endian), the header
(JSON), then the tensors' bytes (https://huggingface.co/docs/safetensors).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from ocrd.checkpoint_format.published_tensors import Shape
from ocrd.errors import ModelError

INDEX_FILE = "model.safetensors.index.json"
# The limit of safetensors' own reader.
MAX_HEADER_BYTES = 100_000_000
# Bytes of the header's length, in front of the header.
LENGTH_BYTES = 8
# Bytes of one number, by safetensors' names of the dtypes.
DTYPE_BYTES = {
    "F64": 8,
    "F32": 4,
    "F16": 2,
    "BF16": 2,
    "I64": 8,
    "I32": 4,
    "I16": 2,
    "I8": 1,
    "U8": 1,
    "BOOL": 1,
}


@dataclass(frozen=True)
class TensorInfo:
    """Where a tensor is stored, and how."""

    file: Path
    # safetensors' name: ``BF16``.
    dtype: str
    shape: Shape
    # Position in the file of its first byte. The numbers are in row-major order, little endian.
    offset: int


def find_weight_files(model_dir: Path) -> list[Path]:
    """List the safetensors files that the index names or, without an index, all in the folder.

    Raises:
        ModelError: There are none, one is missing, or the index is damaged or names a path outside
            the folder.
    """
    index = model_dir / INDEX_FILE
    if index.is_file():
        paths = [model_dir / name for name in _read_index(index)]
    else:
        paths = sorted(model_dir.glob("*.safetensors"))
    if not paths:
        raise ModelError(
            f"{model_dir} contains no *.safetensors file, so there are no weights to load"
        )
    for path in paths:
        if not path.is_file():
            raise ModelError(f"{path} is missing")
    return paths


def _read_index(index: Path) -> list[str]:
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        outside = any(Path(name).name != name for name in names)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"{index} is not a safetensors index ({error!r})") from error
    if outside:
        raise ModelError(f"{index} names a file outside its folder")
    return names


def read_header(path: Path) -> dict[str, TensorInfo]:
    """Read the header of one file.

    Returns:
        Its tensors by name.

    Raises:
        ModelError: The file is incomplete or damaged: each byte after the header must belong to
            exactly one tensor.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(LENGTH_BYTES), "little")
            if size < LENGTH_BYTES or length > min(MAX_HEADER_BYTES, size - LENGTH_BYTES):
                raise ModelError(f"{path} is truncated or not a safetensors file ({size} bytes)")
            header = json.loads(file.read(length))
        data_start = LENGTH_BYTES + length
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
        needed = data_start + _check_offsets(entries, path)
        tensors = {
            name: TensorInfo(
                path, entry["dtype"], tuple(entry["shape"]), data_start + entry["data_offsets"][0]
            )
            for name, entry in entries.items()
        }
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"{path}: its header is damaged ({type(error).__name__})") from error
    if needed != size:
        raise ModelError(f"{path} has {size} bytes where its header needs {needed}")
    return tensors


def _check_offsets(entries: dict[str, Any], path: Path) -> int:
    """Check that the tensors follow one another without gaps, and return their total bytes."""
    end = 0
    for name, entry in sorted(entries.items(), key=lambda item: item[1]["data_offsets"]):
        first, last = entry["data_offsets"]
        if first != end or last - first != DTYPE_BYTES[entry["dtype"]] * prod(entry["shape"]):
            raise ModelError(f"{path}: the header gives wrong data offsets for {name}")
        end = last
    return end


def read_headers(paths: Sequence[Path]) -> dict[str, TensorInfo]:
    """Read the headers of all files of a checkpoint.

    Returns:
        The tensors of all files by name.

    Raises:
        ModelError: A file is damaged, or a tensor is in two files.
    """
    tensors: dict[str, TensorInfo] = {}
    for path in paths:
        for name, tensor in read_header(path).items():
            if name in tensors:
                raise ModelError(f"{path}: the tensor {name} is in more than one file")
            tensors[name] = tensor
    return tensors
