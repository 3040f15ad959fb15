"""Messages that users reported are classified, and so are those that torch raises here."""

from __future__ import annotations

import pytest
import torch

from ocrd.engine.errors import NonFiniteLogits
from ocrd.engine.runtime.device_plan import Candidate
from ocrd.engine.runtime.failures import Failure, classify
from ocrd.errors import EngineError

DTYPE_MESSAGE = "expected self and source to have same dtypes but got BFloat16 and Float"


@pytest.mark.parametrize(("message", "kind"), [
    (f"masked_scatter_: {DTYPE_MESSAGE}", "mps-dtype"),
    (f"masked_scatter: {DTYPE_MESSAGE}", "mps-dtype"),
    ("masked_scatter_: expected self and source to have same dtypes but got Half and Float",
     "mps-dtype"),
    ("Input type (c10::BFloat16) and bias type (float) should be the same", "mps-dtype"),
    ("Input type (c10::Half) and bias type (float) should be the same", "mps-dtype"),
    ("mat1 and mat2 must have the same dtype, but got Float and BFloat16", "mps-dtype"),
    ("expected scalar type Float but found BFloat16", "mps-dtype"),
    ("Expected all tensors to be on the same device, but found at least two devices, mps:0 and "
     "cpu!",
     "mps-dtype"),
    ("Placeholder storage has not been allocated on MPS device!", "mps-dtype"),
    ("The operator 'aten::_upsample_bicubic2d_aa.out' is not currently implemented for the MPS "
     "device. If you want",
     "mps-unsupported-op"),
    ("MPS backend out of memory (MPS allocated: 17.80 GB, other allocations: 1.2 GB, max allowed: "
     "18.13 GB).",
     "mps-oom"),
    ("Invalid buffer size: 24.00 GiB", "mps-oom"),
    ("CUDA out of memory. Tried to allocate 2.00 GiB.", "mps-oom"),
    ("[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: not enough memory: you "
     "tried",
     "mps-oom"),
    ("probability tensor contains either `inf`, `nan` or element < 0", "mps-numerics"),
    ("command buffer exited with error status", "mps-wedged"),
    ("Caused GPU Timeout Error (00000002:kIOGPUCommandBufferCallbackErrorImpactingInteractivity)",
     "mps-wedged"),
    ("Ignored (for causing prior/excessive GPU errors) "
     "(00000004:kIOGPUCommandBufferCallbackErrorSubmissionsIgnored)",
     "mps-wedged"),
    ("CUDA error: an illegal memory access was encountered", "mps-wedged"),
    ("Torch not compiled with CUDA enabled", "other"),
    ("", "other"),
])  # fmt: skip
def test_messages_are_classified(message: str, kind: str) -> None:
    assert classify(RuntimeError(message)) == kind


def test_errors_that_torch_raises_here_are_classified() -> None:
    target = torch.zeros(4, dtype=torch.bfloat16)
    with pytest.raises(RuntimeError) as scatter:
        target.masked_scatter_(torch.ones(4, dtype=torch.bool), torch.ones(4))
    assert classify(scatter.value) == "mps-dtype"
    with pytest.raises(RuntimeError) as product:
        torch.zeros(2, 2) @ torch.zeros(2, 2, dtype=torch.bfloat16)
    assert classify(product.value) == "mps-dtype"
    with pytest.raises(RuntimeError) as convolution:
        torch.nn.Conv2d(3, 3, 1)(torch.zeros(1, 3, 4, 4, dtype=torch.bfloat16))
    assert classify(convolution.value) == "mps-dtype"
    with pytest.raises(RuntimeError) as memory:
        torch.empty(2**60, dtype=torch.uint8)
    assert classify(memory.value) == "mps-oom"


def test_the_cause_decides_where_the_message_of_the_error_does_not() -> None:
    with pytest.raises(EngineError) as raised:
        try:
            raise RuntimeError(f"masked_scatter: {DTYPE_MESSAGE}")
        except RuntimeError as error:
            raise EngineError("the page failed") from error
    assert classify(raised.value) == "mps-dtype"


def test_errors_are_classified_by_their_class_too() -> None:
    assert classify(NonFiniteLogits("scores")) == "mps-numerics"
    assert classify(MemoryError()) == "mps-oom"


def test_a_failure_has_one_line() -> None:
    failure = Failure.from_error(RuntimeError("first\nsecond"), Candidate("mps", "float32"))
    assert (failure.kind, failure.message, failure.device) == ("other", "first", "mps")
    assert Failure.from_error(ValueError(), Candidate("cpu", "float32")).message == "ValueError"
