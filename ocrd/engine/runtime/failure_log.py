"""Log a failure with everything that a report of it needs."""

from __future__ import annotations

import platform
import traceback

import structlog
import torch

from ocrd.engine.runtime.failures import Failure


def log_failure(
    event: str, failure: Failure, *, error: BaseException, action: str, **fields: object
) -> None:
    """Log one error event with the full stack trace, the causes included.

    Args:
        event: What failed.
        failure: The classified failure.
        error: What was raised.
        action: What the engine does about it.
        **fields: Further fields of the event.
    """
    structlog.get_logger(component="engine").error(
        event,
        kind=failure.kind.value,
        error=failure.message,
        device=failure.device,
        dtype=failure.dtype,
        action=action,
        torch=torch.__version__,
        system=platform.mac_ver()[0] or platform.platform(),
        stack="".join(traceback.format_exception(error)),
        **fields,
    )
