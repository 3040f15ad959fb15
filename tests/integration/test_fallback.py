"""When MPS fails, the page is read on the CPU, and sidecar and log say so.

The daemon, the worker, the engine and the sidecars are real; only the device ``mps`` is made up
(`tests.fake_worker`).
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import jsonschema
import psutil
import pytest
from PIL import Image

from tests.integration.conftest import DRAWN, PICTURES, Service, wait_until

SCHEMA = json.loads(
    (Path(__file__).parents[2] / "docs/sidecar.schema.json").read_text(encoding="utf-8")
)


def save_pages(path: Path, pages: int) -> None:
    """A document of so many times the same picture."""
    picture = Image.open(PICTURES / "greeting.png").convert("L")
    picture.save(path, save_all=True, append_images=[picture] * (pages - 1))


class FakeGpu:
    def __init__(self, service: Service) -> None:
        self.service = service
        self.folder = service.home / "gpu"
        self.folder.mkdir()
        service.environment["FAKE_GPU"] = str(self.folder)
        service.program = "tests.fake_daemon"
        service.engine = {"device": "auto", "batch": 1, "cool_down": 0.0}
        service.configure()
        self.script()

    def script(self, *faults: str, self_test: str = "ok") -> None:
        (self.folder / "script").write_text("\n".join([self_test, *faults]))

    def ran(self) -> list[str]:
        return (self.folder / "ran").read_text().splitlines()

    def read(self, pages: int, name: str = "pages.tif") -> dict[str, Any]:
        """A document of so many pages, read to its end: its sidecar."""
        path = self.service.inbox / name
        save_pages(path, pages)
        code = self.service.run_once()
        assert code == 0, self.service.log.read_text()[-3000:]
        document: dict[str, Any] = json.loads(
            path.with_name(f"{name}.json").read_text(encoding="utf-8")
        )
        jsonschema.Draft202012Validator(SCHEMA).validate(document)
        assert [p["text"] for p in document["pages"]] == [DRAWN["greeting.png"]] * pages
        return document

    def logged(self, event: str) -> list[dict[str, Any]]:
        lines = (self.service.home / "state/logs/ocrd.log").read_text(encoding="utf-8").splitlines()
        return [entry for line in lines if (entry := json.loads(line)).get("event") == event]


@pytest.fixture
def gpu(service: Service) -> FakeGpu:
    return FakeGpu(service)


def kinds(document: dict[str, Any]) -> list[tuple[int, str, str]]:
    return [(f["page"], f["kind"], f["then"]) for f in document["engine"]["fallbacks"]]


def test_a_page_that_fails_is_read_on_the_cpu_and_the_next_goes_back(gpu: FakeGpu) -> None:
    faults = ("mps-dtype", "mps-unsupported-op", "mps-numerics", "other")
    script = ["ok", *(fault for kind in faults for fault in (kind, "ok"))]
    gpu.script(*script)
    document = gpu.read(len(script))
    assert document["engine"]["device"] == "mps"
    assert kinds(document) == [(2 * n + 1, kind, "cpu") for n, kind in enumerate(faults)]
    assert gpu.ran() == [
        "ok",
        *script,
    ]  # the self-test first; and each page after a failure went back to MPS
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


def test_the_logged_stack_is_what_torch_raised_line_for_line_with_its_cause(gpu: FakeGpu) -> None:
    gpu.script("mps-dtype")
    gpu.read(1)
    (stack,) = [json.loads(line) for line in (gpu.folder / "stacks").read_text().splitlines()]
    (entry,) = gpu.logged("reading a page failed")
    assert entry["stack"].splitlines() == stack.splitlines()
    assert entry["stack"].count("Traceback (most recent call last)") == 2
    assert "masked_scatter_" in stack and "The above exception was the direct cause" in stack
    last = stack.rstrip().splitlines()[-1]
    assert (
        "expected self and source to have same dtypes but got" in last
        and "BFloat16 and Float" in last
    )
    assert "tests/fake_worker.py" in stack and "ocrd/engine/runtime/page_recovery.py" in stack


def test_a_device_that_fails_its_self_test_is_skipped_with_its_reason(gpu: FakeGpu) -> None:
    (gpu.folder / "script").write_text("mps-dtype\nmps-numerics")
    document = gpu.read(1)
    assert (document["engine"]["device"], document["engine"]["dtype"]) == ("cpu", "float32")
    assert [entry["kind"] for entry in gpu.logged("a device is skipped")] == [
        "mps-dtype",
        "mps-numerics",
    ]


def test_a_device_whose_self_test_kills_every_worker_is_given_up_for_a_while(gpu: FakeGpu) -> None:
    gpu.service.engine = {"device": "auto", "batch": 1, "cool_down": 3600.0}
    gpu.service.configure()
    (gpu.folder / "script").write_text("\n".join(["segv"] * 9))
    gpu.service.start()
    document = gpu.service.wait_for_sidecar(gpu.service.drop("a.png"))
    assert document["engine"]["device"] == "cpu" and gpu.ran() == ["segv", "segv"]
    engine = gpu.service.status()["engine"]
    assert engine["state"] == "ready" and "every device but the CPU" in engine["skipped"][-1]
    gpu.service.wait_for_sidecar(gpu.service.drop("b.png"))
    assert gpu.ran() == ["segv", "segv"]  # and is not loaded anew for each document
    assert gpu.service.stop() == 0


def test_what_was_skipped_shows_in_status(gpu: FakeGpu) -> None:
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


def test_out_of_memory_frees_the_cache_then_starts_a_new_worker_then_the_cpu(gpu: FakeGpu) -> None:
    # In this worker twice; in the next one its self-test passes, then twice more.
    gpu.script("mps-oom", "mps-oom", "ok", "mps-oom", "mps-oom")
    document = gpu.read(1)
    assert kinds(document) == [
        (0, "mps-oom", then) for then in ("free-cache", "fresh-worker", "free-cache", "cpu")
    ]
    assert [entry["action"] for entry in gpu.logged("reading a page failed")] == [
        "free-cache", "fresh-worker", "free-cache", "cpu",
    ]  # fmt: skip
    assert (gpu.folder / "freed").read_text().split() == [
        "mps",
        "mps",
        "mps",
    ]  # and what the weights left behind
    assert len(gpu.logged("the worker is exhausted; a new one continues")) == 1


def test_on_cuda_it_is_the_same(gpu: FakeGpu) -> None:
    (gpu.folder / "cuda").touch()
    gpu.script("cuda-oom", "ok", "mps-dtype")
    document = gpu.read(3)
    assert (document["engine"]["device"], document["engine"]["dtype"]) == ("cuda", "bfloat16")
    assert kinds(document) == [(0, "mps-oom", "free-cache"), (1, "mps-dtype", "cpu")]
    assert gpu.ran() == ["ok", "cuda-oom", "ok", "mps-dtype", "ok"]


def test_memory_that_is_there_after_the_cache_was_freed_is_enough(gpu: FakeGpu) -> None:
    gpu.script("mps-oom", "ok")
    assert kinds(gpu.read(2)) == [(0, "mps-oom", "free-cache")]


def test_a_wedged_gpu_gets_a_new_worker_and_no_crash_is_counted(gpu: FakeGpu) -> None:
    gpu.script("ok", "mps-wedged")
    document = gpu.read(3)
    assert kinds(document) == [(1, "mps-wedged", "fresh-worker")]
    assert gpu.ran() == ["ok", "ok", "mps-wedged", "ok", "ok", "ok"]


def test_after_failures_in_a_row_the_cpu_stays_until_the_self_test_passes_again(
    gpu: FakeGpu,
) -> None:
    gpu.service.engine = {"device": "auto", "batch": 1, "max_fallbacks": 2, "cool_down": 3600.0}
    gpu.service.configure()
    gpu.script("mps-dtype", "mps-dtype", "mps-dtype")
    document = gpu.read(5)
    assert kinds(document) == [
        (0, "mps-dtype", "cpu"),
        (1, "mps-dtype", "cpu"),
    ]  # the others never saw MPS
    assert gpu.ran() == ["ok", "mps-dtype", "mps-dtype"]
    assert len(gpu.logged("the CPU reads until the cool-down ends")) == 1


def test_after_the_cool_down_one_self_test_decides(gpu: FakeGpu) -> None:
    gpu.service.engine = {"device": "auto", "batch": 1, "max_fallbacks": 1, "cool_down": 0.0}
    gpu.service.configure()
    gpu.script("mps-dtype", "mps-dtype", "ok", "ok")
    document = gpu.read(3)
    # The page, then the self-test that fails again, then the one that passes, then the last page.
    assert gpu.ran() == ["ok", "mps-dtype", "mps-dtype", "ok", "ok"]
    assert (
        kinds(document) == [(0, "mps-dtype", "cpu")]
        and len(gpu.logged("back on the primary device")) == 1
    )


@pytest.mark.timeout(300)  # nine workers
def test_a_worker_that_ends_or_hangs_is_replaced_and_the_page_is_read(gpu: FakeGpu) -> None:
    crashes = ("segv", "kill", "exit", "hang")
    # Each document's second page ends its worker; the next worker has its self-test and goes on at
    # that page.
    gpu.script(*(fault for crash in crashes for fault in ("ok", crash, "ok", "ok")))
    for name in crashes:
        save_pages(gpu.service.inbox / f"{name}.tif", 2)
    assert gpu.service.run_once() == 0
    for name in crashes:
        document = json.loads((gpu.service.inbox / f"{name}.tif.json").read_text(encoding="utf-8"))
        assert [p["text"] for p in document["pages"]] == [DRAWN["greeting.png"]] * 2
        assert kinds(document) == [(1, "crash", "fresh-worker")]
    assert gpu.ran() == ["ok", *(fault for crash in crashes for fault in ("ok", crash, "ok", "ok"))]
    said = [entry["error"] for entry in gpu.logged("the worker died")]
    assert [
        words in error
        for words, error in zip(
            ("signal 11", "signal 9", "exit code 3", "no sign"), said, strict=True
        )
    ]


def test_a_page_that_ends_two_workers_is_read_by_a_third_on_the_cpu_alone(gpu: FakeGpu) -> None:
    gpu.script("segv", "ok", "segv")
    document = gpu.read(2)
    assert document["engine"]["device"] == "cpu" and gpu.ran()[:4] == ["ok", "segv", "ok", "segv"]
    assert kinds(document) == [(0, "crash", "fresh-worker"), (0, "crash", "cpu")]


def test_a_page_that_ends_every_worker_is_failed_and_the_rest_go_on(gpu: FakeGpu) -> None:
    gpu.script("segv", "ok", "segv")
    first = gpu.service.drop("a.png")
    gpu.service.start()
    wait_until(
        lambda: len(gpu.ran()) >= 4 if (gpu.folder / "ran").exists() else False,
        "two workers to end",
    )
    (gpu.folder / "always").write_text("segv")
    wait_until(lambda: gpu.service.status()["jobs"]["failed"] == 1, "an end")
    assert not first.with_name("a.png.json").exists()
    assert "3 times" in gpu.service.status()["failures"][0]["message"]
    (gpu.folder / "always").unlink()
    second = gpu.service.drop("b.png")
    document = gpu.service.wait_for_sidecar(second)
    assert document["engine"]["device"] == "mps"  # and MPS is tried again for it
    assert gpu.service.stop() == 0


@pytest.mark.parametrize("faults", [["mps-wedged"], ["segv", "ok", "segv"]])
def test_recognize_has_the_same_patience(gpu: FakeGpu, faults: list[str]) -> None:
    gpu.script(*faults)
    gpu.service.program = "tests.fake_daemon"
    done = gpu.service.call("recognize", str(PICTURES / "greeting.png"))
    assert done.returncode == 0 and done.stdout.strip() == DRAWN["greeting.png"], done.stderr
    assert gpu.ran()[1] == faults[0]


def test_garbage_on_standard_output_harms_nobody(gpu: FakeGpu) -> None:
    gpu.script("garbage", "garbage")
    assert kinds(gpu.read(2)) == []


def test_a_worker_that_grew_too_large_is_replaced_after_its_document(gpu: FakeGpu) -> None:
    gpu.service.engine = {"device": "auto", "batch": 1, "memory_growth": 1.0}
    gpu.service.configure()
    gpu.service.start()
    gpu.service.wait_for_sidecar(gpu.service.drop("a.png"))
    before = gpu.service.status()["engine"]["pid"]
    (gpu.folder / "used").write_text(str(2 * 10**9))
    gpu.service.wait_for_sidecar(gpu.service.drop("b.png"))
    wait_until(
        lambda: (gpu.service.status()["engine"] or {}).get("pid") not in (None, before),
        "another worker",
    )
    assert "it grew by" in gpu.logged("the worker is replaced")[0]["reason"]
    assert gpu.service.stop() == 0


@pytest.mark.timeout(600)  # a dozen workers are started on the way, each with torch to load
def test_two_hundred_pages_with_every_kind_of_failure(gpu: FakeGpu) -> None:
    """One in ten fails, in every way there is.

    200 right texts, each fallback recorded, the parent no larger.
    """
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
    recorded = [kind for document in documents for _, kind, _ in kinds(document)]
    crashes = {"segv", "kill", "exit"}
    assert sorted(recorded) == sorted(
        "crash" if kind in crashes else kind for kind in ran if kind not in ("ok", "garbage")
    )
    assert set(ran) == {"ok", "garbage", *in_process, *fatal}
    assert sum(kind not in ("ok", "garbage") for kind in ran) >= 15
    assert max(sizes[5:]) - sizes[4] < 8_000_000, sizes
