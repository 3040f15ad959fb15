"""From the configuration to what the worker loads and what it is asked to read."""

from __future__ import annotations

import os
from pathlib import Path

from ocrd.config import Config
from ocrd.read_protocol import ReadRequest
from ocrd.worker.memory_limit import MemoryLimits
from ocrd.worker.messages import WorkerSetup

# The share of the machine's memory that a worker may use unless the configuration sets a limit.
DEFAULT_MEMORY_SHARE = 0.9


def worker_setup(config: Config, max_fetch_tries: int | None = None) -> WorkerSetup:
    """What the worker loads; see `WorkerSetup` for ``max_fetch_tries``."""
    engine = config.engine
    return WorkerSetup(
        model=config.model,
        device=engine.device,
        dtype=engine.dtype,
        mode=engine.mode,
        max_fetch_tries=max_fetch_tries,
        max_fallbacks=engine.max_fallbacks,
        cool_down_s=engine.cool_down,
        batch=None if engine.batch == "auto" else engine.batch,
        skip_blank=engine.skip_blank,
        environment={
            "PYTORCH_ENABLE_MPS_FALLBACK": str(int(engine.mps_fallback)),
            # torch refuses a low ratio above the high one, so both are always set.
            "PYTORCH_MPS_HIGH_WATERMARK_RATIO": str(engine.mps_high_watermark),
            "PYTORCH_MPS_LOW_WATERMARK_RATIO": str(engine.mps_low_watermark),
        },
    )


def memory_limits(config: Config) -> MemoryLimits:
    """How large the worker may become."""
    if config.engine.memory_ceiling is not None:
        max_bytes = config.engine.memory_ceiling * 1e9
    else:
        installed = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        max_bytes = DEFAULT_MEMORY_SHARE * installed
    return MemoryLimits(max_bytes, config.engine.memory_growth * 1e9)


def read_request(
    config: Config,
    path: Path,
    *,
    job: str,
    task: str,
    first_page: int = 0,
    in_new_worker: bool = False,
    page_by_page: bool = False,
) -> ReadRequest:
    """Ask for ``path`` within the configured limits; see `ReadRequest`."""
    return ReadRequest(
        job=job,
        path=path,
        task=task,
        first_page=first_page,
        max_new_tokens=config.engine.max_new_tokens,
        page_deadline_s=config.engine.page_deadline,
        dpi=config.documents.dpi,
        max_bytes=config.documents.max_megabytes * 1024 * 1024,
        max_pixels=config.documents.max_megapixels * 1_000_000,
        in_new_worker=in_new_worker,
        page_by_page=page_by_page,
    )
