"""Moving a network changes no number and leaves nothing behind; the real devices answer."""

from __future__ import annotations

import pytest
import torch

from ocrd.engine.nn.checkpoint import load_network
from ocrd.engine.runtime.devices import TorchDevices, check_placement, move
from ocrd.errors import EngineError
from ocrd.paths import POCKET_MODEL

CPU = torch.device("cpu")


def test_a_tensor_in_another_dtype_is_named() -> None:
    network = load_network(POCKET_MODEL)
    network.vision_model.to(torch.bfloat16)
    with pytest.raises(
        EngineError,
        match=r"vision_model\.\S+ is on cpu in torch.bfloat16, but the model runs on cpu in",
    ):
        check_placement(network, CPU, dtype=torch.float32)
    move(network, CPU, dtype=torch.float32)
    check_placement(network, CPU, dtype=torch.float32)


def test_moving_to_float32_and_back_changes_no_number() -> None:
    network = load_network(POCKET_MODEL, dtype=torch.bfloat16)
    before = {name: parameter.clone() for name, parameter in network.named_parameters()}
    frequencies = network.language_model.rotary_emb.inv_freq.clone()
    move(network, CPU, dtype=torch.float32)
    move(network, CPU, dtype=torch.bfloat16)
    assert all(torch.equal(p, before[name]) for name, p in network.named_parameters())
    assert torch.equal(network.language_model.rotary_emb.inv_freq, frequencies)
    assert network.language_model.rotary_emb.inv_freq.dtype == torch.float32


def test_the_real_devices_answer_on_this_machine() -> None:
    devices = TorchDevices()
    machine = devices.machine()
    assert machine.memory_bytes > 10**9 and machine.devices[-1] == "cpu"
    devices.free_cache("cpu")
    assert devices.driver_bytes("cpu") == 0 and devices.torch_device("cpu") == CPU
    with devices.running("cpu"):
        pass
