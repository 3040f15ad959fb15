"""Weights on disk and in the network.

The published names against ours, read with no code from the model.

Each parameter of the network is made from one published tensor, from a third of one (CLIP's fused
``qkv_proj``), or from many stacked (the experts). `recipe` says which; loading and saving both
follow it. Only safetensors are read, never a pickle.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

import torch
from torch import Tensor, nn

from ocrd.checkpoint_format import weight_files as weights
from ocrd.checkpoint_format.architecture import Architecture, read_architecture
from ocrd.checkpoint_format.published_tensors import (
    UNUSED_TENSOR,
    check_tensors,
    published_tensors,
)
from ocrd.engine.nn.decoder import rebuild_rotary_embedding
from ocrd.engine.nn.network import Network
from ocrd.errors import ModelError

BLOCK = 1 << 24
TORCH_DTYPES = {
    "BF16": torch.bfloat16,
    "F16": torch.float16,
    "F32": torch.float32,
    "F64": torch.float64,
}

_RENAMED = [  # ours -> published, applied in order to the whole name
    (r"^sam_model\.layers\.(\d+)\.layer_norm", r"model.sam_model.blocks.\1.norm"),
    (r"^sam_model\.layers\.", "model.sam_model.blocks."),
    (r"^sam_model\.patch_embed\.projection\.", "model.sam_model.patch_embed.proj."),
    (r"^sam_model\.neck\.conv1\.", "model.sam_model.neck.0."),
    (r"^sam_model\.neck\.layer_norm1\.", "model.sam_model.neck.1."),
    (r"^sam_model\.neck\.conv2\.", "model.sam_model.neck.2."),
    (r"^sam_model\.neck\.layer_norm2\.", "model.sam_model.neck.3."),
    (r"^sam_model\.proj\.conv1\.", "model.sam_model.net_2."),
    (r"^sam_model\.proj\.conv2\.", "model.sam_model.net_3."),
    (r"^language_model\.", "model."),
    (r"^(?!model\.|lm_head\.)", "model."),
]
_CLIP_QKV = re.compile(r"(.*vision_model.*\.self_attn)\.([qkv])_proj\.(weight|bias)$")
_EXPERTS = re.compile(r"(.*\.mlp\.experts)\.(gate_up|down)_proj$")


@dataclass(frozen=True)
class Recipe:
    """How one parameter lies in the checkpoint: the part of it that each published tensor fills."""

    published: tuple[str, ...]
    # The third of the (only) published tensor that is ours: 0 q, 1 k, 2 v.
    thirds: int | None = None

    def pairs(self, parameter: Tensor) -> Iterator[tuple[str, Tensor]]:
        """(published name, the view of ``parameter`` that this tensor fills)."""
        if len(self.published) == 1:
            yield self.published[0], parameter
            return
        per_expert = len(self.published) // parameter.shape[0]
        for position, name in enumerate(self.published):
            expert, part = divmod(position, per_expert)
            yield name, parameter[expert].chunk(per_expert)[part]


def recipe(ours: str, arch: Architecture) -> Recipe:
    """Where the parameter called ``ours`` in `Network` lies in the published layout."""
    name = ours
    for pattern, replacement in _RENAMED:
        name = re.sub(pattern, replacement, name)
    if match := _CLIP_QKV.match(name):
        return Recipe((f"{match[1]}.qkv_proj.{match[3]}",), thirds="qkv".index(match[2]))
    if match := _EXPERTS.match(name):
        parts = ("gate_proj", "up_proj") if match[2] == "gate_up" else ("down_proj",)
        return Recipe(
            tuple(
                f"{match[1]}.{e}.{part}.weight"
                for e in range(arch.decoder.num_experts)
                for part in parts
            )
        )
    return Recipe((name,))


def load_network(
    model_dir: Path,
    device: torch.device | str = "cpu",
    *,
    dtype: torch.dtype = torch.float32,
    progress: Callable[[float], None] = lambda _done: None,
    files: Sequence[Path] | None = None,
) -> Network:
    """Build the network that ``model_dir`` describes and fill it.

    Numbers are read straight to their places, converted to ``dtype`` on the way, so the peak is the
    network and a block of 16 MB. ``progress`` is told the share done, 0 to 1. ``files`` names the
    safetensors to read where the folder holds others as well.

    Raises ModelError for a damaged or incomplete checkpoint, and names the first bad tensors.
    """
    arch = read_architecture(model_dir)
    with torch.device("meta"):
        network = Network(arch)
    network.to(dtype).to_empty(device=device)
    rebuild_rotary_embedding(network.language_model, network.device)
    with ExitStack() as stack:
        tensors = weights.read_headers(files or weights.find_weight_files(model_dir))
        check_tensors(
            {name: tensor.shape for name, tensor in tensors.items()}, arch, model_dir=model_dir
        )
        reader = _Reader(stack)
        parameters = dict(network.named_parameters())
        for done, (ours, parameter) in enumerate(parameters.items(), start=1):
            _fill(parameter, recipe(ours, arch), tensors=tensors, reader=reader)
            progress(done / len(parameters))
    return network.eval().requires_grad_(requires_grad=False)


class _Reader:
    """Numbers from the checkpoint's files to their places, a block at a time, converted on the way.

    Read, not mapped: pages of a mapped file count as the process's memory for as long as the system
    likes, which for the full size is 6.7 GB beside the network's own.
    """

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._files: dict[Path, FileIO] = {}
        self._block = bytearray(BLOCK)

    def fill(self, place: Tensor, source: weights.TensorInfo, *, first: int = 0) -> None:
        """Fill ``place``, which lies in one piece, from the tensor's number ``first`` on.

        Raises ModelError for a file that ends early or holds no such numbers.
        """
        dtype = TORCH_DTYPES.get(source.dtype)
        if dtype is None:
            raise ModelError(
                f"{source.file}: weights in {source.dtype} are not read; {', '.join(TORCH_DTYPES)} are"
            )
        flat = place.view(-1)
        size = weights.DTYPE_BYTES[source.dtype]
        file = self._open(source.file)
        file.seek(source.offset + first * size)
        if dtype == place.dtype and place.device.type == "cpu":
            self._read(file, flat.view(torch.uint8).numpy().data, source=source)
            return
        numbers = torch.frombuffer(self._block, dtype=dtype)
        for start in range(0, flat.numel(), numbers.numel()):
            count = min(numbers.numel(), flat.numel() - start)
            self._read(file, memoryview(self._block)[: count * size], source=source)
            flat[start : start + count].copy_(numbers[:count])

    def _open(self, path: Path) -> FileIO:
        if path not in self._files:
            try:
                self._files[path] = self._stack.enter_context(FileIO(path))
            except OSError as error:
                raise ModelError(f"{path} cannot be read ({error.strerror})") from error
        return self._files[path]

    def _read(self, file: FileIO, into: memoryview, *, source: weights.TensorInfo) -> None:
        while into:  # a read may bring less than was asked for, and never more than 2 GB
            try:
                got = file.readinto(into)
            except OSError as error:
                raise ModelError(f"{source.file} cannot be read ({error.strerror})") from error
            if not got:
                raise ModelError(f"{source.file} ends in the middle of a tensor")
            into = into[got:]


def _fill(
    parameter: nn.Parameter,
    how: Recipe,
    *,
    tensors: Mapping[str, weights.TensorInfo],
    reader: _Reader,
) -> None:
    for name, place in how.pairs(parameter.data):
        reader.fill(
            place, tensors[name], first=0 if how.thirds is None else how.thirds * place.numel()
        )


def to_published(network: Network, dtype: torch.dtype) -> dict[str, Tensor]:
    """The network's weights under their published names, as a saver wants them (contiguous, on
    the CPU).
    """
    published: dict[str, Tensor] = {}
    thirds: dict[str, dict[int, Tensor]] = {}
    for ours, parameter in network.named_parameters():
        how = recipe(ours, network.arch)
        for name, view in how.pairs(parameter.detach()):
            value = view.to("cpu", dtype).clone().contiguous()
            if how.thirds is None:
                published[name] = value
            else:
                thirds.setdefault(name, {})[how.thirds] = value
    for name, parts in thirds.items():
        published[name] = torch.cat([parts[0], parts[1], parts[2]])
    published[UNUSED_TENSOR] = torch.zeros(
        published_tensors(network.arch)[UNUSED_TENSOR], dtype=dtype
    )
    return published
