"""Which device and dtype are tried first, on the machines that people have."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrd.engine.runtime.device_plan import Machine, largest_batch, make_device_plan
from ocrd.errors import EngineError

# Parameters of the published model.
FULL = 3_336_000_000
POCKET = 5_150_000


def mac(gigabytes: int) -> Machine:
    return Machine(gigabytes * 1024**3, mps=True)


def cuda(gigabytes: int, *, bfloat16: bool = True) -> Machine:
    return Machine(64 * 1024**3, cuda_bytes=gigabytes * 1024**3, cuda_bfloat16=bfloat16)


def order(device: str, dtype: str, *, machine: Machine, parameters: int = FULL) -> str:
    short = {"float32": "32", "bfloat16": "16"}
    return " ".join(
        f"{c.device}{short[c.dtype]}"
        for c in make_device_plan(device, dtype, parameters=parameters, machine=machine).candidates
    )


@pytest.mark.parametrize(("machine", "device", "dtype", "expected"), [
    (mac(8), "auto", "auto", "cpu16"),
    (mac(16), "auto", "auto", "mps16 cpu16"),
    (mac(24), "auto", "auto", "mps32 mps16 cpu32 cpu16"),
    (mac(32), "auto", "auto", "mps32 mps16 cpu32 cpu16"),
    (mac(64), "auto", "auto", "mps32 mps16 cpu32 cpu16"),
    (mac(16), "mps", "auto", "mps16 cpu16"),
    (mac(16), "auto", "float32", "cpu32"),
    (mac(64), "auto", "float32", "mps32 cpu32"),
    (mac(64), "auto", "bfloat16", "mps16 cpu16"),
    (mac(16), "mps", "float32", "mps32 cpu32"),
    (mac(64), "cpu", "auto", "cpu32 cpu16"),
    (mac(8), "cpu", "float32", "cpu32"),
    (Machine(24 * 1024**3), "auto", "auto", "cpu32 cpu16"),
    (Machine(16 * 1024**3), "auto", "auto", "cpu16"),
    (cuda(24), "auto", "auto", "cuda16 cuda32 cpu32 cpu16"),
    (cuda(80), "auto", "auto", "cuda16 cuda32 cpu32 cpu16"),
    (cuda(12), "auto", "auto", "cuda16 cpu32 cpu16"),
    (cuda(24, bfloat16=False), "auto", "auto", "cuda32 cuda16 cpu32 cpu16"),
    (cuda(6), "auto", "auto", "cpu32 cpu16"),
    (cuda(80), "cuda", "float32", "cuda32 cpu32"),
])  # fmt: skip
def test_the_order_on_real_machines(
    machine: Machine, device: str, dtype: str, expected: str
) -> None:
    assert order(device, dtype, machine=machine) == expected


def test_a_small_model_fits_everywhere_in_float32() -> None:
    assert order("auto", "auto", machine=mac(8), parameters=POCKET) == "mps32 mps16 cpu32 cpu16"


@pytest.mark.parametrize("device", ["mps", "cuda"])
def test_a_device_that_is_not_there_is_an_error_that_names_it(device: str) -> None:
    with pytest.raises(
        EngineError, match=f"engine.device is '{device}', but this machine has only: cpu"
    ):
        make_device_plan(device, "auto", parameters=FULL, machine=Machine(64 * 1024**3))


def test_each_choice_has_its_reason() -> None:
    plan = make_device_plan("auto", "auto", parameters=FULL, machine=mac(16))
    assert "8.47 GB of 12.9 GB" in plan.candidates[0].reason
    assert [(c.device, c.dtype) for c in plan.rejected] == [("mps", "float32"), ("cpu", "float32")]
    assert "16.9 GB, but 12.9 GB may be used" in plan.rejected[0].reason


@given(
    memory=st.integers(1, 2**40),
    mps=st.booleans(),
    cuda=st.integers(0, 2**40),
    bfloat16=st.booleans(),
    dtype=st.sampled_from(["auto", "float32", "bfloat16"]),
    parameters=st.integers(1, 10**12),
)
def test_there_is_always_a_candidate_and_the_last_one_is_the_cpu(
    memory: int, mps: bool, cuda: int, bfloat16: bool, dtype: str, parameters: int
) -> None:
    plan = make_device_plan(
        "auto", dtype, parameters=parameters, machine=Machine(memory, mps, cuda, bfloat16)
    )
    tried = [(c.device, c.dtype) for c in plan.candidates]
    assert tried[-1][0] == "cpu" and len(set(tried)) == len(tried)
    assert not set(tried) & {(c.device, c.dtype) for c in plan.rejected}


# Keys and values of the longest page, in numbers.
PAGE = 2 * 12 * 1280 * 8192


@pytest.mark.parametrize(
    ("machine", "device", "dtype", "pages"),
    [
        (mac(8), "mps", "bfloat16", 1),  # does not fit at all, but a page is read anyway
        (mac(16), "mps", "bfloat16", 8),
        (mac(24), "mps", "float32", 2),
        (mac(32), "mps", "float32", 8),
        (cuda(16), "cuda", "bfloat16", 8),
        (cuda(10), "cuda", "bfloat16", 3),
        (Machine(24 * 1024**3), "cpu", "float32", 6),
    ],
)
def test_the_largest_batch_fits_in_memory_when_all_its_pages_are_as_long_as_possible(
    machine: Machine, device: str, dtype: str, pages: int
) -> None:
    here = make_device_plan(device, dtype, parameters=FULL, machine=machine).candidates[0]
    assert (here.device, here.dtype) == (device, dtype)
    assert (
        largest_batch(
            here, FULL, page_bytes=PAGE * (2 if dtype == "bfloat16" else 4), machine=machine
        )
        == pages
    )
