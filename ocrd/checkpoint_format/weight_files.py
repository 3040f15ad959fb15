"""The headers of safetensors files.

Whole, and holding every tensor that the architecture needs. Reads no weights.

Format: 8 bytes with the header's length (little endian), the header (JSON), then the tensors' bytes
(https://huggingface.co/docs/safetensors).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

from ocrd.checkpoint_format.architecture import (
    OPTIONAL,
    UNUSED,
    Architecture,
    Shape,
    published_tensors,
)
from ocrd.errors import ModelError

INDEX = "model.safetensors.index.json"
# What safetensors itself allows.
LONGEST_HEADER = 100_000_000
BYTES_EACH = {
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
class Tensor:
    file: Path
    # As safetensors calls it: ``BF16``.
    dtype: str
    shape: Shape
    # The file's byte where its numbers begin, row by row, little endian.
    start: int


def weight_files(model_dir: Path) -> list[Path]:
    """The checkpoint's safetensors: those that the index names, else all that lie there.

    Raises ModelError when there are none, one is missing, or the index names a path outside the
    folder.
    """
    index = model_dir / INDEX
    if index.is_file():
        try:
            names = sorted(
                set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
            )
            outside = any(Path(name).name != name for name in names)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ModelError(f"{index} is not a safetensors index ({error!r})") from error
        if outside:
            raise ModelError(f"{index} names a file outside its folder")
        paths = [model_dir / name for name in names]
    else:
        paths = sorted(model_dir.glob("*.safetensors"))
    if not paths:
        raise ModelError(f"{model_dir} holds no *.safetensors, so there are no weights to load")
    for path in paths:
        if not path.is_file():
            raise ModelError(f"{path} is missing")
    return paths


def read_header(path: Path) -> dict[str, Tensor]:
    """Tensor by name. Raises ModelError unless the file is whole.

    Every byte is some tensor's, once.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(LONGEST_HEADER, size - 8):
                raise ModelError(f"{path} is cut short or no safetensors file ({size} bytes)")
            header = json.loads(file.read(length))
        tensors = {name: value for name, value in header.items() if name != "__metadata__"}
        end = 0
        for name, value in sorted(tensors.items(), key=lambda item: item[1]["data_offsets"]):
            first, last = value["data_offsets"]
            if first != end or last - first != BYTES_EACH[value["dtype"]] * prod(value["shape"]):
                raise ModelError(f"{path}: the bytes of {name} do not lie as its header says")
            end = last
        begin = 8 + length
        found = {
            n: Tensor(path, v["dtype"], tuple(v["shape"]), begin + v["data_offsets"][0])
            for n, v in tensors.items()
        }
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"{path}: its header is damaged ({type(error).__name__})") from error
    if 8 + length + end != size:
        raise ModelError(f"{path} has {size} bytes where its header needs {8 + length + end}")
    return found


def read_headers(paths: Sequence[Path]) -> dict[str, Tensor]:
    """The tensors of all files.

    Raises ModelError for a damaged file, and for a tensor that stands in two.
    """
    tensors: dict[str, Tensor] = {}
    for path in paths:
        for name, tensor in read_header(path).items():
            if name in tensors:
                raise ModelError(f"{path}: the tensor {name} stands in more than one file")
            tensors[name] = tensor
    return tensors


def refuse_wrong_tensors(
    found: Mapping[str, Shape], arch: Architecture, *, model_dir: Path
) -> None:
    """Raises ModelError that names the first tensors which are missing, unexpected or of another
    shape.
    """
    wanted = published_tensors(arch)
    missing = sorted(wanted.keys() - found.keys() - {UNUSED})
    unexpected = sorted(found.keys() - wanted.keys() - {OPTIONAL})
    misshapen = [
        f"{n} {list(found[n])} instead of {list(wanted[n])}" for n in sorted(wanted.keys() & found.keys())
        if found[n] != wanted[n]
    ]  # fmt: skip
    for what, names in (
        ("lacks", missing),
        ("has unexpected", unexpected),
        ("has misshapen", misshapen),
    ):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise ModelError(
                f"the checkpoint in {model_dir} {what} tensors: {', '.join(names[:3])}{more}"
            )
