"""Weights on disk and in the network: the published names against ours, read with no code from the model.

Each parameter of the network is made from one published tensor, from a third of one (CLIP's fused
``qkv_proj``), or from many stacked (the experts). `recipe` says which; loading and saving both follow it.
Only safetensors are read, never a pickle.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from ocrd.engine.network import Network
from ocrd.errors import ModelError
from ocrd.layout.architecture import UNUSED, Architecture, published_tensors, read_architecture
from ocrd.layout.weights import refuse_wrong_tensors, weight_files

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
    thirds: int | None = None
    """The third of the (only) published tensor that is ours: 0 q, 1 k, 2 v."""

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
        return Recipe(tuple(f"{match[1]}.{e}.{part}.weight" for e in range(arch.decoder.experts) for part in parts))
    return Recipe((name,))


def load_network(
    model_dir: Path,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    progress: Callable[[float], None] = lambda _done: None,
    weights: Sequence[Path] | None = None,
) -> Network:
    """Build the network that ``model_dir`` describes and fill it.

    One tensor at a time is read and copied to its place, converted to ``dtype`` on the way, so the
    peak is the network plus one tensor. ``progress`` is told the share done, 0 to 1. ``weights`` names
    the files to read where the folder holds other safetensors as well.

    Raises ModelError for a damaged or incomplete checkpoint, and names the first bad tensors.
    """
    arch = read_architecture(model_dir)
    with torch.device("meta"):
        network = Network(arch)
    network.to(dtype).to_empty(device=device)
    _restore_buffers(network)
    with ExitStack() as stack:
        tensors = _open_tensors(weights or weight_files(model_dir), stack)
        refuse_wrong_tensors({name: tuple(t.get_shape()) for name, t in tensors.items()}, arch, model_dir)
        parameters = dict(network.named_parameters())
        for done, (ours, parameter) in enumerate(parameters.items(), start=1):
            _fill(parameter, recipe(ours, arch), tensors)
            progress(done / len(parameters))
    return network.eval().requires_grad_(False)


def _fill(parameter: nn.Parameter, how: Recipe, tensors: Mapping[str, Any]) -> None:
    for name, place in how.pairs(parameter.data):
        source = tensors[name]
        if how.thirds is None:
            place.copy_(source[:])
        else:
            size = place.shape[0]
            place.copy_(source[how.thirds * size : (how.thirds + 1) * size])


def _restore_buffers(network: Network) -> None:
    """``to_empty`` leaves non-persistent buffers as they happened to lie in memory: compute them anew."""
    decoder = network.language_model
    decoder.rotary_emb = type(decoder.rotary_emb)(decoder.config).to(network.device)


def _open_tensors(paths: Sequence[Path], stack: ExitStack) -> dict[str, Any]:
    """Published name -> safetensors slice, over all the checkpoint's files."""
    tensors: dict[str, Any] = {}
    for path in paths:
        try:
            handle = stack.enter_context(safe_open(path, framework="pt"))
            names = list(handle.keys())
        except (OSError, SafetensorError) as error:
            raise ModelError(f"{path} is not a whole safetensors file ({error})") from error
        for name in names:
            if name in tensors:
                raise ModelError(f"{path}: the tensor {name} stands in more than one file")
            tensors[name] = handle.get_slice(name)
    return tensors


def to_published(network: Network, dtype: torch.dtype) -> dict[str, Tensor]:
    """The network's weights under their published names, as a saver wants them (contiguous, on the CPU)."""
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
    published[UNUSED] = torch.zeros(published_tensors(network.arch)[UNUSED], dtype=dtype)
    return published
