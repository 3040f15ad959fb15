"""Checkpoints load strictly, and what is saved is what was loaded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from ocrd.checkpoint_format import weight_files
from ocrd.checkpoint_format.published_tensors import UNUSED_TENSOR
from ocrd.checkpoint_format.weight_files import INDEX_FILE
from ocrd.engine.nn import checkpoint
from ocrd.engine.nn.checkpoint import load_network, published_state_dict
from ocrd.errors import ModelError

GOLDEN = Path(__file__).parents[3] / "data/golden"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder with the golden checkpoint and nothing else."""
    for name in ("config.json", "model.safetensors"):
        shutil.copyfile(GOLDEN / name, tmp_path / name)
    return tmp_path


def test_every_tensor_is_saved_as_it_was_loaded(model: Path) -> None:
    original = load_file(model / "model.safetensors")
    ours = published_state_dict(load_network(model), torch.float32)
    assert ours.keys() == original.keys()
    assert [
        n for n in original if n != UNUSED_TENSOR and not torch.equal(ours[n], original[n])
    ] == []


def test_a_checkpoint_in_shards_with_an_index_loads_the_same(model: Path) -> None:
    whole = load_network(model)
    tensors = load_file(model / "model.safetensors")
    (model / "model.safetensors").unlink()
    names = sorted(tensors)
    shards = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, part in shards.items():
        save_file({n: tensors[n] for n in part}, model / file)
    weight_map = {n: file for file, part in shards.items() for n in part}
    (model / INDEX_FILE).write_text(json.dumps({"weight_map": weight_map}))
    again = load_network(model)
    assert all(
        torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True)
    )


def test_all_parts_share_one_dtype(model: Path) -> None:
    network = load_network(model, dtype=torch.bfloat16)
    assert {p.dtype for p in network.parameters()} == {torch.bfloat16}
    assert network.language_model.rotary_emb.inv_freq.dtype == torch.float32


@pytest.mark.parametrize("change", ["missing", "unexpected", "misshapen"])
def test_a_tensor_out_of_place_is_named(model: Path, change: str) -> None:
    tensors = load_file(model / "model.safetensors")
    name = "model.layers.1.mlp.experts.3.up_proj.weight"
    if change == "missing":
        del tensors[name]
    elif change == "unexpected":
        name = "model.layers.7.extra.weight"
        tensors[name] = torch.zeros(2)
    else:
        tensors[name] = torch.zeros(3, 3)
    save_file(tensors, model / "model.safetensors")
    with pytest.raises(ModelError, match=name.replace(".", r"\.")):
        load_network(model)


def test_a_truncated_file_is_refused(model: Path) -> None:
    path = model / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(
        ModelError, match=r"model\.safetensors has \d+ bytes where its header needs"
    ):
        load_network(model)


@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("wanted", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("block_bytes", [4096, 1 << 24])
def test_weights_are_converted_while_they_are_loaded(
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    stored: torch.dtype,
    wanted: torch.dtype,
    block_bytes: int,
) -> None:
    """Most tensors need many of the small blocks; the large one holds any tensor."""
    monkeypatch.setattr(checkpoint, "BLOCK_BYTES", block_bytes)
    tensors = {n: t.to(stored) for n, t in load_file(model / "model.safetensors").items()}
    save_file(tensors, model / "model.safetensors")
    ours = published_state_dict(load_network(model, dtype=wanted), torch.float64)
    assert [
        n
        for n in tensors
        if n != UNUSED_TENSOR and not torch.equal(ours[n], tensors[n].to(wanted).double())
    ] == []


def test_a_dtype_that_cannot_be_loaded_is_named(model: Path) -> None:
    tensors = load_file(model / "model.safetensors")
    name = "model.norm.weight"
    tensors[name] = tensors[name].to(torch.int8)
    save_file(tensors, model / "model.safetensors")
    with pytest.raises(
        ModelError, match="weights in I8 cannot be loaded, only weights in BF16, F16, F32, F64"
    ):
        load_network(model)


def test_a_file_that_shrinks_while_it_is_loaded_is_an_error(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_headers = weight_files.read_headers

    def shrinking(paths: list[Path]) -> object:
        found = read_headers(paths)
        paths[0].write_bytes(paths[0].read_bytes()[: paths[0].stat().st_size // 2])
        return found

    monkeypatch.setattr(checkpoint, "read_headers", shrinking)
    with pytest.raises(ModelError, match="ends in the middle of a tensor"):
        load_network(model)
