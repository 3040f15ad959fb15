"""A configuration gives the network's sizes, and another model's configuration is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ocrd.checkpoint_format.architecture import parse_architecture, read_architecture
from ocrd.errors import ModelError

GOLDEN = Path(__file__).parents[2] / "data/golden"


def golden_config(**changed: object) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((GOLDEN / "config.json").read_text(encoding="utf-8"))
    return config | changed


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("model_type", "llama", "deepseek_vl_v2"),
        ("architectures", ["LlamaForCausalLM"], r"DeepseekOCR\*"),
        ("vision_config", {}, "width|image_size"),
    ],
)
def test_another_models_configuration_is_refused(key: str, value: object, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        parse_architecture(golden_config(**{key: value}))


@pytest.mark.parametrize("key", ["use_mla", "norm_topk_prob", "rope_scaling"])
def test_a_decoder_that_computes_something_else_is_refused(key: str) -> None:
    config = golden_config()
    config["language_config"][key] = True
    with pytest.raises(ModelError, match=key):
        parse_architecture(config)


def test_sizes_that_the_published_code_fixes_may_be_absent() -> None:
    sam = parse_architecture(golden_config()).sam
    assert (sam.neck_channels, sam.window_size) == (256, 14)


def test_the_kv_cache_of_the_longest_page_follows_from_the_sizes() -> None:
    decoder = read_architecture(GOLDEN).decoder
    head_size = decoder.hidden_size // decoder.num_heads
    keys = decoder.num_layers * decoder.num_kv_heads * head_size * decoder.max_positions
    assert decoder.max_kv_elements == 2 * keys
