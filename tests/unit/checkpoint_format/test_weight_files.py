"""Complete safetensors files are found and described; damaged ones are refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from ocrd.checkpoint_format.weight_files import (
    INDEX_FILE,
    find_weight_files,
    read_header,
    read_headers,
)
from ocrd.errors import ModelError

GOLDEN = Path(__file__).parents[2] / "data/golden"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """The golden weights, alone in a folder."""
    return Path(shutil.copyfile(GOLDEN / "model.safetensors", tmp_path / "model.safetensors"))


def test_a_header_describes_every_tensor_where_it_is_stored(weights: Path) -> None:
    stored = weights.read_bytes()
    expected = load_file(weights)
    header = read_header(weights)
    assert header.keys() == expected.keys()
    for name, info in header.items():
        count = expected[name].numel()
        numbers = torch.frombuffer(
            bytearray(stored[info.offset : info.offset + 4 * count]), dtype=torch.float32
        )
        assert info.dtype == "F32" and info.shape == tuple(expected[name].shape)
        assert torch.equal(numbers.view(info.shape), expected[name])


def test_a_truncated_file_is_refused(weights: Path) -> None:
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ModelError, match=r"model\.safetensors has \d+ bytes where its header"):
        read_header(weights)
    weights.write_bytes(b"1234")
    with pytest.raises(ModelError, match="truncated"):
        read_header(weights)


def test_a_gap_between_tensors_is_refused(tmp_path: Path) -> None:
    entry = {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}
    header = json.dumps({"a": entry}).encode()
    path = tmp_path / "gap.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(12))
    with pytest.raises(ModelError, match="wrong data offsets for a"):
        read_header(path)


def test_an_index_names_the_files_and_none_of_them_outside_its_folder(weights: Path) -> None:
    folder = weights.parent
    save_file({"other": torch.zeros(1)}, folder / "other.safetensors")
    assert len(find_weight_files(folder)) == 2
    index = folder / INDEX_FILE
    index.write_text(json.dumps({"weight_map": {"x": "model.safetensors"}}))
    assert find_weight_files(folder) == [weights]
    index.write_text(json.dumps({"weight_map": {"x": "../evil.safetensors"}}))
    with pytest.raises(ModelError, match="outside"):
        find_weight_files(folder)
    index.write_text(json.dumps({"weight_map": {"x": "missing.safetensors"}}))
    with pytest.raises(ModelError, match=r"missing\.safetensors is missing"):
        find_weight_files(folder)


def test_a_folder_without_weights_is_not_a_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no weights"):
        find_weight_files(tmp_path)


def test_a_tensor_in_two_files_is_refused(weights: Path) -> None:
    copy = Path(shutil.copyfile(weights, weights.with_name("copy.safetensors")))
    with pytest.raises(ModelError, match="in more than one file"):
        read_headers([weights, copy])
