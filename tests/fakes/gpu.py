"""A daemon whose worker claims to have a GPU, which fails as a test scripts it.

The worker is `tests.fake_worker`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from tests.demo_pictures import DRAWN, PICTURES
from tests.sidecar_schema import read_sidecar

if TYPE_CHECKING:
    from tests.integration.conftest import Service


class FakeGpu:
    """The scripted GPU of a service."""

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
        """Set what happens to the first self-test and then to each page on the GPU."""
        (self.folder / "script").write_text("\n".join([self_test, *faults]))

    def ran(self) -> list[str]:
        """What happened on the GPU until now: an entry for each self-test and each page."""
        path = self.folder / "ran"
        return path.read_text().splitlines() if path.exists() else []

    def read(self, pages: int, name: str = "pages.tif") -> dict[str, Any]:
        """Read a document of so many pages, check its texts and return its sidecar."""
        path = self.service.inbox / name
        save_pages(path, pages)
        code = self.service.run_once()
        assert code == 0, self.service.log.read_text()[-3000:]
        document = read_sidecar(path)
        assert [page["text"] for page in document["pages"]] == [DRAWN["greeting.png"]] * pages
        return document

    def logged(self, event: str) -> list[dict[str, Any]]:
        """The log's entries of this event."""
        lines = (self.service.home / "state/logs/ocrd.log").read_text(encoding="utf-8").splitlines()
        entries = [json.loads(line) for line in lines]
        return [entry for entry in entries if entry.get("event") == event]


def save_pages(path: Path, pages: int) -> None:
    """Save a document that has the same picture on each of its pages."""
    picture = Image.open(PICTURES / "greeting.png").convert("L")
    picture.save(path, save_all=True, append_images=[picture] * (pages - 1))


def fallbacks_of(document: dict[str, Any]) -> list[tuple[int, str, str]]:
    """The page, the kind of failure and the action of each fallback in a sidecar."""
    return [(f["page"], f["kind"], f["then"]) for f in document["engine"]["fallbacks"]]
