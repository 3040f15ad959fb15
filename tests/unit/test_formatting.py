"""What the engine is at, as one line that a person understands."""

from __future__ import annotations

from typing import Any

import pytest

from ocrd.formatting import format_engine_state, format_kernels

FETCHING = {"state": "healing", "phase": "fetching", "done": 2_100_000_000, "total": 6_700_000_000}


@pytest.mark.parametrize(("engine", "words"), [
    (None, "-"),
    ({"state": "starting"}, "starting"),
    ({"state": "stopped"}, "stopped"),
    ({"state": "verifying", "done": 1, "total": 4}, "verifying the model, 25%"),
    ({"state": "verifying", "done": 0, "total": 0}, "verifying the model"),
    (FETCHING | {"speed": 34e6, "left": 135.0}, "healing the model: fetching, 2.10 GB of 6.70 GB, 34.0 MB/s, 2 min left"),
    (FETCHING | {"speed": None, "left": None}, "healing the model: fetching, 2.10 GB of 6.70 GB"),
    (FETCHING | {"speed": 0.0, "left": None}, "healing the model: fetching, 2.10 GB of 6.70 GB, 0 bytes/s"),
    (FETCHING | {"speed": 2e5, "left": 23000.0}, "healing the model: fetching, 2.10 GB of 6.70 GB, 200.0 kB/s, 6.4 h left"),
    ({"state": "waiting", "message": "no network", "seconds": 60.0},
     "waiting for the model: no network (next try within 60 s)"),
    ({"state": "loading", "done": 0.5}, "loading the model, 50%"),
    ({"state": "ready", "device": "mps", "dtype": "float32", "mode": "gundam"},
     "ready on mps in float32, mode gundam"),
])  # fmt: skip
def test_each_state(engine: dict[str, Any] | None, words: str) -> None:
    assert format_engine_state(engine) == words


def test_the_kernels_are_shown_with_what_was_measured() -> None:
    choice = {
        "decode_matmul": {"1": "chunked", "8": "packed"},
        "expert_matmul": {},
        "prefill_matmul": "onednn",
        "decode_experts": {"1": "loop", "8": "grouped"},
        "prefill_experts": "grouped",
    }
    throughput = {"decode_experts": {"1": {"loop": 30.04, "grouped": 14.0}, "8": {"grouped": 20.0}}}
    assert format_kernels({"batch": 8, "tuned": {"choice": choice, "throughput": throughput}}) == (
        "experts loop for 1, grouped for 8 (1 page: loop 30.0, grouped 14.0; 8 pages: grouped 20.0 "
        "GB/s), grouped for prompts; other weights chunked for 1, packed for 8, onednn for prompts; "
        "up to 8 pages at once"
    )
