"""Which published tensors each parameter of the network consists of.

One tensor, a third of one (CLIP's fused ``qkv_proj``), or many that are stacked (the experts).
Loading and saving both use this mapping.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from ocrd.checkpoint_format.architecture import Architecture

# Patterns of our names, and their published replacements, applied in this order to the whole name.
_RENAMED = [
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
class WeightSource:
    """The published tensors that one parameter consists of."""

    # Published names, in the order in which they fill the parameter.
    names: tuple[str, ...]
    # For a third of the only tensor, which one: 0 for queries, 1 for keys, 2 for values.
    third: int | None = None

    def parts(self, parameter: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Pair each published name with the view of ``parameter`` that this tensor fills.

        Experts are stacked: ``gate_up_proj`` [E, 2I, D] consists of each expert's ``gate_proj`` and
        ``up_proj`` [I, D].
        """
        if len(self.names) == 1:
            yield self.names[0], parameter
            return
        per_expert = len(self.names) // parameter.shape[0]
        for position, name in enumerate(self.names):
            expert, part = divmod(position, per_expert)
            yield name, parameter[expert].chunk(per_expert)[part]


def weight_source(name: str, arch: Architecture) -> WeightSource:
    """Find the published tensors for a parameter of `Network`, by the parameter's name."""
    published = name
    for pattern, replacement in _RENAMED:
        published = re.sub(pattern, replacement, published)
    if match := _CLIP_QKV.match(published):
        third = "qkv".index(match[2])
        return WeightSource((f"{match[1]}.qkv_proj.{match[3]}",), third=third)
    if match := _EXPERTS.match(published):
        projections = ("gate_proj", "up_proj") if match[2] == "gate_up" else ("down_proj",)
        return WeightSource(
            tuple(
                f"{match[1]}.{expert}.{projection}.weight"
                for expert in range(arch.decoder.num_experts)
                for projection in projections
            )
        )
    return WeightSource((published,))
