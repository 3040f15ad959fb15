"""The state of the engine in one line that a user understands."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from ocrd.formatting import format_engine_state, format_kernels
from ocrd.status import (
    EngineLoading,
    EngineReady,
    EngineStarting,
    EngineStatus,
    EngineStopped,
    EngineUnloaded,
    ModelProgress,
    WaitingForModel,
)
from ocrd.types import BackendInfo, ModelIdentity

BACKEND = BackendInfo("mps", "float32", "gundam", "2", "5", ModelIdentity("a/b", None), batch=8)


def healing(bytes_per_s: float | None, remaining_s: float | None) -> ModelProgress:
    return ModelProgress(
        "healing", "fetching", 2_100_000_000, 6_700_000_000, bytes_per_s, remaining_s
    )


@pytest.mark.parametrize(
    ("engine", "text"),
    [
        (None, "-"),
        (EngineStarting(), "starting"),
        (EngineStopped(), "stopped"),
        (ModelProgress("verifying", "checking", 1, 4, None, None), "verifying the model, 25%"),
        (ModelProgress("verifying", "checking", 0, 0, None, None), "verifying the model"),
        (
            healing(34e6, 135.0),
            "healing the model: fetching, 2.10 GB of 6.70 GB, 34.0 MB/s, 2 min left",
        ),
        (healing(None, None), "healing the model: fetching, 2.10 GB of 6.70 GB"),
        (healing(0.0, None), "healing the model: fetching, 2.10 GB of 6.70 GB, 0 bytes/s"),
        (
            healing(2e5, 23000.0),
            "healing the model: fetching, 2.10 GB of 6.70 GB, 200.0 kB/s, 6.4 h left",
        ),
        (
            WaitingForModel("no network", 60.0),
            "waiting for the model: no network (next try within 60 s)",
        ),
        (EngineLoading(0.5), "loading the model, 50%"),
        (EngineUnloaded(1.0), "unloaded; the model is loaded again for the next file"),
    ],
)
def test_each_state(engine: EngineStatus | None, text: str) -> None:
    assert format_engine_state(engine) == text


def test_a_ready_engine_says_what_it_runs_on_and_since_when() -> None:
    since = time.mktime((2020, 1, 2, 3, 4, 0, 0, 0, -1))
    assert format_engine_state(EngineReady(BACKEND, 1, since)) == (
        "ready on mps in float32, mode gundam, warm since 2020-01-02 03:04"
    )


def test_the_kernels_are_named_with_their_timings() -> None:
    choice = {
        "decode_matmul": {"1": "chunked", "8": "packed"},
        "expert_matmul": {},
        "prefill_matmul": "onednn",
        "decode_experts": {"1": "loop", "8": "grouped"},
        "prefill_experts": "grouped",
    }
    throughput = {"decode_experts": {"1": {"loop": 30.04, "grouped": 14.0}, "8": {"grouped": 20.0}}}
    backend = replace(BACKEND, tuned={"choice": choice, "throughput": throughput})
    assert format_kernels(backend) == (
        "experts loop for 1, grouped for 8 "
        "(1 page: loop 30.0, grouped 14.0; 8 pages: grouped 20.0 GB/s), grouped for prompts; "
        "other weights chunked for 1, packed for 8, onednn for prompts; "
        "up to 8 pages in one batch"
    )
