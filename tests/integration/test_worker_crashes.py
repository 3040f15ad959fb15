"""Workers that crash, hang or grow are replaced.

The daemon, the worker, the engine and the sidecars are real. Only the device ``mps`` is simulated
(`tests.fake_worker`).
"""

from __future__ import annotations

import json

import pytest

from tests.demo_pictures import DRAWN, PICTURES
from tests.fakes.gpu import FakeGpu, fallbacks_of, save_pages
from tests.integration.conftest import wait_until


def test_a_device_whose_self_test_kills_every_worker_is_not_used_during_the_cool_down(
    gpu: FakeGpu,
) -> None:
    gpu.service.engine = {"device": "auto", "batch": 1, "cool_down": 3600.0}
    gpu.service.configure()
    (gpu.folder / "script").write_text("\n".join(["segv"] * 9))
    gpu.service.start()
    document = gpu.service.wait_for_sidecar(gpu.service.drop("a.png"))
    assert document["engine"]["device"] == "cpu" and gpu.ran() == ["segv", "segv"]
    engine = gpu.service.status()["engine"]
    assert engine["state"] == "ready" and "every device but the CPU" in engine["skipped"][-1]
    gpu.service.wait_for_sidecar(gpu.service.drop("b.png"))
    assert gpu.ran() == ["segv", "segv"]  # the next document does not load it again
    assert gpu.service.stop() == 0


@pytest.mark.timeout(300)  # starts nine workers
def test_a_worker_that_crashes_or_hangs_is_replaced_and_the_page_is_read(gpu: FakeGpu) -> None:
    crashes = ("segv", "kill", "exit", "hang")
    # The second page of each document ends its worker. The next worker runs its self-test and
    # continues with that page.
    gpu.script(*(fault for crash in crashes for fault in ("ok", crash, "ok", "ok")))
    for name in crashes:
        save_pages(gpu.service.inbox / f"{name}.tif", 2)
    assert gpu.service.run_once() == 0
    for name in crashes:
        document = json.loads((gpu.service.inbox / f"{name}.tif.json").read_text(encoding="utf-8"))
        assert [p["text"] for p in document["pages"]] == [DRAWN["greeting.png"]] * 2
        assert fallbacks_of(document) == [(1, "crash", "fresh-worker")]
    assert gpu.ran() == ["ok", *(fault for crash in crashes for fault in ("ok", crash, "ok", "ok"))]
    errors = [entry["error"] for entry in gpu.logged("the worker died")]
    reasons = ("signal 11", "signal 9", "exit code 3", "no sign")
    for reason, error in zip(reasons, errors, strict=True):
        assert reason in error


def test_a_page_that_crashes_two_workers_is_read_on_the_cpu_only(gpu: FakeGpu) -> None:
    gpu.script("segv", "ok", "segv")
    document = gpu.read(2)
    assert document["engine"]["device"] == "cpu" and gpu.ran()[:4] == ["ok", "segv", "ok", "segv"]
    assert fallbacks_of(document) == [(0, "crash", "fresh-worker"), (0, "crash", "cpu")]


def test_a_page_that_crashes_every_worker_fails_and_other_files_are_read(gpu: FakeGpu) -> None:
    gpu.script("segv", "ok", "segv")
    first = gpu.service.drop("a.png")
    gpu.service.start()
    wait_until(lambda: len(gpu.ran()) >= 4, "two workers to end")
    (gpu.folder / "always").write_text("segv")
    wait_until(lambda: gpu.service.status()["jobs"]["failed"] == 1, "the failure")
    assert not first.with_name("a.png.json").exists()
    assert "3 times" in gpu.service.status()["failures"][0]["message"]
    (gpu.folder / "always").unlink()
    second = gpu.service.drop("b.png")
    document = gpu.service.wait_for_sidecar(second)
    assert document["engine"]["device"] == "mps"  # MPS is tried again for the next file
    assert gpu.service.stop() == 0


@pytest.mark.parametrize("faults", [["mps-wedged"], ["segv", "ok", "segv"]])
def test_recognize_replaces_workers_like_the_daemon(gpu: FakeGpu, faults: list[str]) -> None:
    gpu.script(*faults)
    gpu.service.program = "tests.fake_daemon"
    done = gpu.service.call("recognize", str(PICTURES / "greeting.png"))
    assert done.returncode == 0 and done.stdout.strip() == DRAWN["greeting.png"], done.stderr
    assert gpu.ran()[1] == faults[0]


def test_garbage_on_the_standard_output_of_a_worker_is_ignored(gpu: FakeGpu) -> None:
    gpu.script("garbage", "garbage")
    assert fallbacks_of(gpu.read(2)) == []


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
