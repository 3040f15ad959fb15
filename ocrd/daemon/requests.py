"""From the configuration to what the worker is asked, and what stands in the sidecar about it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from ocrd import sidecar
from ocrd.config import Config
from ocrd.worker.parent import Ready
from ocrd.worker.protocol import Request, Setup


def worker_setup(config: Config, tries: int | None = None) -> Setup:
    """What the worker loads; a model that is out of reach is given up after ``tries``, never with None."""
    engine = config.engine
    return Setup(config.model.model_dump(mode="json"), engine.device, engine.dtype, engine.mode, tries)


def read_request(config: Config, job: str, path: Path, task: str, start: int = 0) -> Request:
    """Ask for ``path`` from page ``start`` on, within the configured limits."""
    return Request(
        job=job,
        path=str(path),
        task=task,
        start=start,
        max_new_tokens=config.engine.max_new_tokens,
        page_deadline=config.engine.page_deadline,
        dpi=config.documents.dpi,
        max_bytes=config.documents.max_megabytes * 1024 * 1024,
        max_pixels=config.documents.max_megapixels * 1_000_000,
    )


def provenance(ready: Ready) -> sidecar.Provenance:
    """The model and the engine that read a document."""
    engine = asdict(ready)
    return sidecar.Provenance(model=engine.pop("model"), engine={"backend": "torch", **engine})
