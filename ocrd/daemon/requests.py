"""From the configuration to what the worker is asked, and what stands in the sidecar about it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from ocrd import sidecar
from ocrd.config import POCKET, Config, model_dir
from ocrd.errors import ModelError
from ocrd.worker.parent import Ready
from ocrd.worker.protocol import Request, Setup


def worker_setup(config: Config) -> Setup:
    """What the worker loads. Raises ModelError when the model's folder is not there."""
    folder = model_dir(config.model)
    if not folder.is_dir():
        raise ModelError(
            f'{folder}: there is no model; set model.path to a folder that holds one, or to "pocket" for a try'
        )
    engine = config.engine
    return Setup(str(folder), engine.device, engine.dtype, engine.mode, config.log.level)


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


def provenance(config: Config, ready: Ready) -> sidecar.Provenance:
    """The model and the engine that read a document."""
    model = config.model
    if model.path is None:
        name, revision = model.repo, model.revision
    else:
        name, revision = ("ocrd/pocket" if model.path == POCKET else Path(model.path).name), None
    return sidecar.Provenance(
        model={"repo": name, "revision": revision},
        engine={"backend": "torch", **asdict(ready)},
    )
