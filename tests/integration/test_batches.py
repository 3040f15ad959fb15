"""Pages of a document, and small pictures that wait, are read together.

A failure of one costs no other anything.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from PIL import Image

from tests.integration.conftest import DRAWN, PICTURES, Service, wait_until
from tests.integration.test_fallback import SCHEMA, FakeGpu, kinds, save_pages

GREETING = DRAWN["greeting.png"]


@pytest.fixture
def gpu(service: Service) -> FakeGpu:
    gpu = FakeGpu(service)
    service.engine = {"device": "auto", "cool_down": 0.0, "batch": 3}
    service.configure()
    return gpu


def sidecar(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(
        path.with_name(f"{path.name}.json").read_text(encoding="utf-8")
    )
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    return document


def lay(gpu: FakeGpu, *names: str) -> list[Path]:
    """Pictures that lie in the inbox before the daemon starts."""
    paths = [gpu.service.inbox / name for name in names]
    for path in paths:
        shutil.copyfile(PICTURES / "greeting.png", path)
    return paths


def test_the_pages_of_a_document_are_read_together_and_stand_in_order(gpu: FakeGpu) -> None:
    document = gpu.read(7)
    assert [page["index"] for page in document["pages"]] == list(range(7)) and kinds(document) == []


def test_a_batch_that_fails_is_read_page_by_page_and_the_sidecar_says_so(gpu: FakeGpu) -> None:
    gpu.script("ok", "mps-dtype")  # the first page of the batch comes, then it fails
    document = gpu.read(4)
    assert kinds(document) == [(page, "mps-dtype", "alone") for page in (1, 2)]
    (entry,) = gpu.logged("reading a batch failed")
    assert entry["pages"] == [1, 2] and "masked_scatter" in entry["stack"]


@pytest.mark.real_processes
def test_a_worker_that_dies_in_a_batch_is_replaced_and_the_document_goes_on_where_it_was(
    gpu: FakeGpu,
) -> None:
    gpu.script("ok", "segv")
    document = gpu.read(5)
    assert kinds(document) == [(1, "crash", "fresh-worker")]


def test_small_pictures_that_wait_are_read_together(gpu: FakeGpu) -> None:
    paths = lay(gpu, "a.png", "b.png", "c.png", "d.png", "e.png")
    (gpu.service.inbox / "f.png").write_bytes(
        (PICTURES / "greeting.png").read_bytes()[:2000]
    )  # broken in the middle
    assert gpu.service.run_once() == 3  # one file failed
    assert [page["text"] for path in paths for page in sidecar(path)["pages"]] == [GREETING] * 5
    jobs = gpu.service.status()["jobs"]
    assert (jobs["done"], jobs["failed"]) == (5, 1)
    # Fewer looks than pictures: a batch of three gives its readings one after another, but is
    # entered once for each.
    assert len(gpu.logged("done")) == 5


def test_pictures_in_a_batch_that_kills_the_worker_are_read_one_by_one_and_none_is_blamed(
    gpu: FakeGpu,
) -> None:
    # The self-test, the first picture alone; then a batch that dies.
    gpu.script("ok", "segv")
    paths = lay(gpu, "a.png", "b.png", "c.png", "d.png")
    assert gpu.service.run_once() == 0
    for path in paths:
        assert [page["text"] for page in sidecar(path)["pages"]] == [GREETING] and kinds(
            sidecar(path)
        ) == []
    assert len(gpu.logged("the batch failed; reading one by one")) == 1


def test_a_document_among_the_pictures_is_read_by_itself(gpu: FakeGpu) -> None:
    paths = lay(gpu, "a.png", "c.png", "d.png")
    save_pages(gpu.service.inbox / "b.tif", 3)
    assert gpu.service.run_once() == 0
    assert len(sidecar(gpu.service.inbox / "b.tif")["pages"]) == 3
    assert all(sidecar(path)["pages"][0]["text"] == GREETING for path in paths)


def test_a_document_with_a_pictures_name_loses_no_page(gpu: FakeGpu) -> None:
    paths = lay(gpu, "a.png", "c.png", "d.png")
    save_pages(gpu.service.inbox / "b.tif", 3)
    (gpu.service.inbox / "b.tif").rename(gpu.service.inbox / "b.png")
    assert gpu.service.run_once() == 0
    assert len(sidecar(gpu.service.inbox / "b.png")["pages"]) == 3
    assert all(sidecar(path)["pages"][0]["text"] == GREETING for path in paths)


def test_empty_pages_are_skipped_and_the_doctor_names_the_kernels(gpu: FakeGpu) -> None:
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


def test_boxes_come_from_the_picture_to_the_sidecar(service: Service) -> None:
    """End to end: the grounded task, the real worker, the shipped model; nothing is made up."""
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
