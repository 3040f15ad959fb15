"""From the configuration to what the worker is asked, and what stands in the sidecar about it."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

from ocrd.config import Config
from ocrd.outputs import sidecar
from ocrd.worker.memory import MemoryLimits
from ocrd.worker.messages import Request, Setup
from ocrd.worker.process import Ready


def worker_setup(config: Config, tries: int | None = None) -> Setup:
    """What the worker loads.

    A model that is out of reach is given up after ``tries``, never with None.
    """
    engine = config.engine
    return Setup(
        config.model.model_dump(mode="json"),
        engine.device,
        engine.dtype,
        engine.mode,
        tries,
        max_fallbacks=engine.max_fallbacks,
        cool_down=engine.cool_down,
        batch=None if engine.batch == "auto" else engine.batch,
        skip_blank=engine.skip_blank,
        environment={
            "PYTORCH_ENABLE_MPS_FALLBACK": str(int(engine.mps_fallback)),
            # torch refuses one without the other where the low mark would be above the high one.
            "PYTORCH_MPS_HIGH_WATERMARK_RATIO": str(engine.mps_high_watermark),
            "PYTORCH_MPS_LOW_WATERMARK_RATIO": str(engine.mps_low_watermark),
        },
    )


def memory_limits(config: Config) -> MemoryLimits:
    """How large the worker may become."""
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    ceiling = config.engine.memory_ceiling * 1e9 if config.engine.memory_ceiling else 0.9 * whole
    return MemoryLimits(ceiling, config.engine.memory_growth * 1e9)


def read_request(
    config: Config,
    job: str,
    *,
    path: Path,
    task: str,
    start: int = 0,
    fresh: bool = False,
    alone: bool = False,
) -> Request:
    """Ask for ``path`` from page ``start`` on, within the configured limits.

    ``alone``: one page at a time.
    """
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
        fresh=fresh,
        alone=alone,
    )


def provenance(ready: Ready) -> sidecar.Provenance:
    """The model and the engine that read a document."""
    engine = asdict(ready)
    for of_the_machine in ("skipped", "batch", "tuned"):
        del engine[of_the_machine]
    return sidecar.Provenance(model=engine.pop("model"), engine={"backend": "torch", **engine})
