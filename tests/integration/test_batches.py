"""Pages of a document are read in batches, and so are small pictures in the queue.

A failure of one page or picture does not affect the others.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from tests.demo_pictures import DRAWN, PICTURES
from tests.fakes.gpu import FakeGpu, fallbacks_of, save_pages
from tests.integration.conftest import Service, wait_until
from tests.sidecar_schema import read_sidecar

GREETING = DRAWN["greeting.png"]


@pytest.fixture
def gpu(service: Service) -> FakeGpu:
    gpu = FakeGpu(service)
    service.engine = {"device": "auto", "cool_down": 0.0, "batch": 3}
    service.configure()
    return gpu


def drop_all(gpu: FakeGpu, *names: str) -> list[Path]:
    """Put a picture with each name into the inbox."""
    paths = [gpu.service.inbox / name for name in names]
    for path in paths:
        shutil.copyfile(PICTURES / "greeting.png", path)
    return paths


def test_the_pages_of_a_document_are_read_in_batches_and_written_in_order(gpu: FakeGpu) -> None:
    document = gpu.read(7)
    assert [page["index"] for page in document["pages"]] == list(range(7))
    assert fallbacks_of(document) == []


def test_a_batch_that_fails_is_read_page_by_page_and_the_sidecar_records_it(gpu: FakeGpu) -> None:
    gpu.script("ok", "mps-dtype")  # the batch fails after its first page
    document = gpu.read(4)
    assert fallbacks_of(document) == [(page, "mps-dtype", "alone") for page in (1, 2)]
    (entry,) = gpu.logged("reading a batch failed")
    assert entry["pages"] == [1, 2] and "masked_scatter" in entry["stack"]


@pytest.mark.real_processes
def test_a_worker_that_dies_in_a_batch_is_replaced_and_the_document_continues(
    gpu: FakeGpu,
) -> None:
    gpu.script("ok", "segv")
    document = gpu.read(5)
    assert fallbacks_of(document) == [(1, "crash", "fresh-worker")]


def test_small_pictures_in_the_queue_are_read_together(gpu: FakeGpu) -> None:
    paths = drop_all(gpu, "a.png", "b.png", "c.png", "d.png", "e.png")
    truncated = (PICTURES / "greeting.png").read_bytes()[:2000]
    (gpu.service.inbox / "f.png").write_bytes(truncated)
    assert gpu.service.run_once() == 3  # one file failed
    texts = [page["text"] for path in paths for page in read_sidecar(path)["pages"]]
    assert texts == [GREETING] * 5
    jobs = gpu.service.status()["jobs"]
    assert (jobs["done"], jobs["failed"]) == (5, 1)
    # A batch of three has one entry for each of its pictures.
    assert len(gpu.logged("done")) == 5


def test_pictures_in_a_batch_that_kills_the_worker_are_read_one_by_one_without_a_fallback(
    gpu: FakeGpu,
) -> None:
    # The first picture is read alone. Then the worker dies in a batch.
    gpu.script("ok", "segv")
    paths = drop_all(gpu, "a.png", "b.png", "c.png", "d.png")
    assert gpu.service.run_once() == 0
    for path in paths:
        document = read_sidecar(path)
        assert [page["text"] for page in document["pages"]] == [GREETING]
        assert fallbacks_of(document) == []
    assert len(gpu.logged("the batch failed; reading one by one")) == 1


def test_a_document_between_pictures_is_read_separately(gpu: FakeGpu) -> None:
    paths = drop_all(gpu, "a.png", "c.png", "d.png")
    save_pages(gpu.service.inbox / "b.tif", 3)
    assert gpu.service.run_once() == 0
    assert len(read_sidecar(gpu.service.inbox / "b.tif")["pages"]) == 3
    assert all(read_sidecar(path)["pages"][0]["text"] == GREETING for path in paths)


def test_a_document_with_the_suffix_of_a_picture_keeps_all_its_pages(gpu: FakeGpu) -> None:
    paths = drop_all(gpu, "a.png", "c.png", "d.png")
    save_pages(gpu.service.inbox / "b.tif", 3)
    (gpu.service.inbox / "b.tif").rename(gpu.service.inbox / "b.png")
    assert gpu.service.run_once() == 0
    assert len(read_sidecar(gpu.service.inbox / "b.png")["pages"]) == 3
    assert all(read_sidecar(path)["pages"][0]["text"] == GREETING for path in paths)


def test_blank_pages_are_skipped_and_the_doctor_shows_the_kernels(gpu: FakeGpu) -> None:
    with Image.open(PICTURES / "greeting.png") as image:
        written = image.convert("RGB")
    blank = Image.new("RGB", written.size, "white")
    path = gpu.service.inbox / "pages.tif"
    written.save(path, save_all=True, append_images=[blank, written, blank])
    gpu.service.start()
    document = gpu.service.wait_for_sidecar(path)
    assert [(page["text"], page["stop_reason"]) for page in document["pages"]] == [
        (GREETING, "eos"), ("", "blank"), (GREETING, "eos"), ("", "blank"),
    ]  # fmt: skip
    assert document["warnings"] == []
    assert (
        path.with_name("pages.tif.txt").read_text(encoding="utf-8")
        == f"{GREETING}\n\f\f{GREETING}\n\f"
    )
    wait_until(lambda: (gpu.service.status()["engine"] or {}).get("state") == "ready", "the engine")
    engine = gpu.service.status()["engine"]
    kernels = engine["tuned"]["choice"]["decode_experts"]
    assert engine["batch"] == 3 and set(kernels) == {"1", "8"}
    output = " ".join(gpu.service.call("doctor").stdout.split())
    assert "up to 3 pages in one batch" in output
    assert f"experts {kernels['1']} for 1, {kernels['8']} for 8" in output
    assert gpu.service.stop() == 0


def test_the_sidecar_has_the_boxes_of_the_text_in_the_picture(service: Service) -> None:
    """End to end, with the grounded task, the real worker and the shipped model."""
    service.configure(task="markdown", formats=["txt", "json", "md"])
    service.start()
    path = service.drop("greeting.png", "greeting.png")
    document = service.wait_for_sidecar(path)
    with Image.open(PICTURES / "greeting.png") as image:
        width, height = image.size
    blocks = document["pages"][0]["blocks"]
    assert len(blocks) == len(GREETING.splitlines()) and {block["label"] for block in blocks} == {
        "text"
    }
    for block in blocks:
        left, top, right, bottom = block["bbox"]
        assert 0 <= left < right <= width and 0 <= top < bottom <= height
    tops = [block["bbox"][1] for block in blocks]
    assert tops == sorted(tops)
    for suffix in ("txt", "md"):
        assert "<|" not in path.with_name(f"greeting.png.{suffix}").read_text(encoding="utf-8")
    done = service.call("recognize", "--task", "markdown", "--md", str(path))
    assert done.returncode == 0 and done.stdout == path.with_name("greeting.png.md").read_text(
        encoding="utf-8"
    )
    assert service.stop() == 0
