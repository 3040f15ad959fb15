"""When MPS fails, the CPU reads the page, and the sidecar and the log record it.

The daemon, the worker, the engine and the sidecars are real. Only the device ``mps`` is simulated
(`tests.fake_worker`).
"""

from __future__ import annotations

import json
import random

import psutil
import pytest

from tests.demo_pictures import DRAWN
from tests.fakes.gpu import FakeGpu, fallbacks_of, save_pages
from tests.integration.conftest import wait_until


def test_a_page_that_fails_is_read_on_the_cpu_and_the_next_on_the_gpu(gpu: FakeGpu) -> None:
    faults = ("mps-dtype", "mps-unsupported-op", "mps-numerics", "other")
    script = ["ok", *(fault for kind in faults for fault in (kind, "ok"))]
    gpu.script(*script)
    document = gpu.read(len(script))
    assert document["engine"]["device"] == "mps"
    assert fallbacks_of(document) == [(2 * n + 1, kind, "cpu") for n, kind in enumerate(faults)]
    # The self-test, then each page. After each failure the next page is on MPS.
    assert gpu.ran() == ["ok", *script]
    assert document["warnings"][0] == "page 2 was read after a failure (mps-dtype on mps)"
    logged = gpu.logged("reading a page failed")
    assert [entry["kind"] for entry in logged] == list(faults)
    for entry in logged:
        assert (entry["device"], entry["dtype"], entry["action"], entry["level"]) == (
            "mps",
            "float32",
            "cpu",
            "error",
        )
        assert entry["torch"] and entry["system"] and entry["stack"].startswith("Traceback")


def test_the_log_has_the_full_stack_trace_with_its_cause(gpu: FakeGpu) -> None:
    gpu.script("mps-dtype")
    gpu.read(1)
    (stack,) = [json.loads(line) for line in (gpu.folder / "stacks").read_text().splitlines()]
    (entry,) = gpu.logged("reading a page failed")
    assert entry["stack"].splitlines() == stack.splitlines()
    assert entry["stack"].count("Traceback (most recent call last)") == 2
    assert "masked_scatter_" in stack and "The above exception was the direct cause" in stack
    last = stack.rstrip().splitlines()[-1]
    assert "expected self and source to have same dtypes but got" in last
    assert "BFloat16 and Float" in last
    assert "tests/fake_worker.py" in stack and "ocrd/engine/runtime/page_recovery.py" in stack


def test_a_device_that_fails_its_self_test_is_skipped_with_its_reason(gpu: FakeGpu) -> None:
    (gpu.folder / "script").write_text("mps-dtype\nmps-numerics")
    document = gpu.read(1)
    assert (document["engine"]["device"], document["engine"]["dtype"]) == ("cpu", "float32")
    assert [entry["kind"] for entry in gpu.logged("a device is skipped")] == [
        "mps-dtype",
        "mps-numerics",
    ]


def test_status_shows_the_skipped_devices(gpu: FakeGpu) -> None:
    gpu.script(self_test="mps-unsupported-op")
    gpu.service.start()
    wait_until(lambda: (gpu.service.status()["engine"] or {}).get("state") == "ready", "the engine")
    engine = gpu.service.status()["engine"]
    assert (engine["device"], engine["dtype"]) == ("mps", "bfloat16")
    assert engine["skipped"][0].startswith(
        "mps in float32 (mps-unsupported-op: The operator 'aten::"
    )
    assert "mps in float32" in gpu.service.call("status").stdout
    assert gpu.service.stop() == 0


def test_out_of_memory_frees_the_cache_then_starts_a_worker_then_uses_the_cpu(gpu: FakeGpu) -> None:
    # Twice in the first worker. In the next worker, the self-test passes; then twice again.
    gpu.script("mps-oom", "mps-oom", "ok", "mps-oom", "mps-oom")
    document = gpu.read(1)
    assert fallbacks_of(document) == [
        (0, "mps-oom", then) for then in ("free-cache", "fresh-worker", "free-cache", "cpu")
    ]
    assert [entry["action"] for entry in gpu.logged("reading a page failed")] == [
        "free-cache", "fresh-worker", "free-cache", "cpu",
    ]  # fmt: skip
    # The last time for the memory of the unloaded weights.
    assert (gpu.folder / "freed").read_text().split() == ["mps", "mps", "mps"]
    assert len(gpu.logged("the worker is exhausted; a new one continues")) == 1


def test_cuda_has_the_same_fallbacks(gpu: FakeGpu) -> None:
    (gpu.folder / "cuda").touch()
    gpu.script("cuda-oom", "ok", "mps-dtype")
    document = gpu.read(3)
    assert (document["engine"]["device"], document["engine"]["dtype"]) == ("cuda", "bfloat16")
    assert fallbacks_of(document) == [(0, "mps-oom", "free-cache"), (1, "mps-dtype", "cpu")]
    assert gpu.ran() == ["ok", "cuda-oom", "ok", "mps-dtype", "ok"]


def test_when_freeing_the_cache_helps_the_worker_continues(gpu: FakeGpu) -> None:
    gpu.script("mps-oom", "ok")
    assert fallbacks_of(gpu.read(2)) == [(0, "mps-oom", "free-cache")]


def test_a_wedged_gpu_gets_a_new_worker_and_no_crash_is_counted(gpu: FakeGpu) -> None:
    gpu.script("ok", "mps-wedged")
    document = gpu.read(3)
    assert fallbacks_of(document) == [(1, "mps-wedged", "fresh-worker")]
    assert gpu.ran() == ["ok", "ok", "mps-wedged", "ok", "ok", "ok"]


def test_after_consecutive_failures_the_cpu_reads_until_the_self_test_passes(
    gpu: FakeGpu,
) -> None:
    gpu.service.engine = {"device": "auto", "batch": 1, "max_fallbacks": 2, "cool_down": 3600.0}
    gpu.service.configure()
    gpu.script("mps-dtype", "mps-dtype", "mps-dtype")
    document = gpu.read(5)
    # The other pages were not tried on MPS.
    assert fallbacks_of(document) == [(0, "mps-dtype", "cpu"), (1, "mps-dtype", "cpu")]
    assert gpu.ran() == ["ok", "mps-dtype", "mps-dtype"]
    assert len(gpu.logged("the CPU reads until the cool-down ends")) == 1


def test_after_the_cool_down_a_self_test_decides_about_the_gpu(gpu: FakeGpu) -> None:
    gpu.service.engine = {"device": "auto", "batch": 1, "max_fallbacks": 1, "cool_down": 0.0}
    gpu.service.configure()
    gpu.script("mps-dtype", "mps-dtype", "ok", "ok")
    document = gpu.read(3)
    # The page, then the self-test that fails again, then the one that passes, then the last page.
    assert gpu.ran() == ["ok", "mps-dtype", "mps-dtype", "ok", "ok"]
    assert fallbacks_of(document) == [(0, "mps-dtype", "cpu")]
    assert len(gpu.logged("back on the primary device")) == 1


@pytest.mark.timeout(600)  # starts a dozen workers, each of which loads torch
def test_two_hundred_pages_are_read_despite_every_kind_of_failure(gpu: FakeGpu) -> None:
    """One page in ten fails. Each fallback is recorded, and the parent process does not grow."""
    in_process = ["mps-dtype", "mps-unsupported-op", "mps-numerics", "other", "mps-oom"]
    fatal = ["mps-wedged", "segv", "kill", "exit"]
    dice = random.Random(7)
    faults = [
        f
        for kind in (*in_process * 3, *fatal, "garbage")
        for f in (kind, *["ok"] * dice.randint(7, 11))
    ]
    gpu.script(*faults)
    names = [f"{n:02}.tif" for n in range(20)]
    gpu.service.start()
    assert gpu.service.process is not None
    parent = psutil.Process(gpu.service.process.pid)
    sizes = list[int]()
    for name in names:
        save_pages(gpu.service.home / name, 10)
        (gpu.service.home / name).rename(gpu.service.inbox / name)
        gpu.service.wait_for_sidecar(gpu.service.inbox / name)
        sizes.append(parent.memory_info().rss)
    documents = [
        json.loads((gpu.service.inbox / f"{name}.json").read_text(encoding="utf-8"))
        for name in names
    ]
    assert gpu.service.stop() == 0
    texts = [page["text"] for document in documents for page in document["pages"]]
    assert texts == [DRAWN["greeting.png"]] * 200
    ran = gpu.ran()
    recorded = [kind for document in documents for _, kind, _ in fallbacks_of(document)]
    crashes = {"segv", "kill", "exit"}
    assert sorted(recorded) == sorted(
        "crash" if kind in crashes else kind for kind in ran if kind not in ("ok", "garbage")
    )
    assert set(ran) == {"ok", "garbage", *in_process, *fatal}
    assert sum(kind not in ("ok", "garbage") for kind in ran) >= 15
    assert max(sizes[5:]) - sizes[4] < 8_000_000, sizes
