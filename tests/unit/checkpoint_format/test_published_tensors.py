"""The tensors of a checkpoint follow from its configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from ocrd.checkpoint_format.architecture import read_architecture
from ocrd.checkpoint_format.published_tensors import (
    OPTIONAL_TENSOR,
    UNUSED_TENSOR,
    check_tensors,
    count_parameters,
    published_tensors,
)
from ocrd.checkpoint_format.weight_files import read_header
from ocrd.errors import ModelError

GOLDEN = Path(__file__).parents[2] / "data/golden"
ARCH = read_architecture(GOLDEN)


def test_the_layout_derived_from_the_configuration_is_the_files() -> None:
    header = read_header(GOLDEN / "model.safetensors")
    assert published_tensors(ARCH) == {name: tensor.shape for name, tensor in header.items()}


def test_parameters_are_the_numbers_in_the_file() -> None:
    size = (GOLDEN / "model.safetensors").stat().st_size
    # float32, and a header.
    assert 0 < size - 4 * count_parameters(ARCH) < 100_000


def test_a_missing_tensor_an_unexpected_one_and_a_wrong_shape_are_named() -> None:
    name = "model.layers.1.mlp.experts.3.up_proj.weight"
    missing = published_tensors(ARCH)
    del missing[name]
    unexpected = published_tensors(ARCH) | {"model.layers.7.extra.weight": (2,)}
    misshapen = published_tensors(ARCH) | {name: (3, 3)}
    for tensors, words in (
        (missing, f"lacks tensors: {name}"),
        (unexpected, "has unexpected tensors: model.layers.7.extra.weight"),
        (misshapen, rf"has misshapen tensors: {name} \[3, 3\] instead of"),
    ):
        with pytest.raises(ModelError, match=words):
            check_tensors(tensors, ARCH, model_dir=GOLDEN)


def test_three_wrong_tensors_are_named_and_the_others_counted() -> None:
    with pytest.raises(ModelError, match=r"lacks tensors: \S+, \S+, \S+ and \d+ more"):
        check_tensors({}, ARCH, model_dir=GOLDEN)


def test_the_tensor_that_nothing_uses_may_be_absent_and_the_optional_one_present() -> None:
    tensors = published_tensors(ARCH) | {OPTIONAL_TENSOR: (1, 257)}
    del tensors[UNUSED_TENSOR]
    check_tensors(tensors, ARCH, model_dir=GOLDEN)
