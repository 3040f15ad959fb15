"""Heal the model, and retry after errors that may pass."""

from __future__ import annotations

import time
from collections.abc import Callable

from ocrd.backoff import Backoff
from ocrd.errors import ModelUnavailable
from ocrd.model.heal import Healer
from ocrd.model.report import Report

# Between tries.
BACKOFF = Backoff((5.0, 15.0, 60.0, 300.0, 600.0))

# While another process holds the lock. Asking for the lock takes a moment as well.
LOCK_RETRY_DELAY_S = 1.0

OnWait = Callable[[ModelUnavailable, float], None]


def heal_with_retries(
    healer: Healer,
    max_tries: int | None,
    *,
    on_wait: OnWait,
    sleep: Callable[[float], None] = time.sleep,
) -> Report:
    """Heal the model; wait and retry after an error that may pass.

    While another process heals the same model, it is waited for in any case.

    Args:
        healer: What heals it.
        max_tries: Tries in a row that fetch no byte, None for no limit. With a limit, an error
            that the user has to fix is not waited for.
        on_wait: Called before each wait, with the error and the seconds.
        sleep: Waits.

    Returns:
        The report on the complete model.

    Raises:
        ModelUnavailable: All tries are used up.
        ModelError: A retry cannot help.
    """
    failures = 0
    while True:
        fetched_before = healer.meter.fetched_bytes
        try:
            return healer.heal()
        except ModelUnavailable as error:
            if error.locked:
                delay_s = LOCK_RETRY_DELAY_S
            else:
                # A bad network that brings something gets all its tries again.
                progress = healer.meter.fetched_bytes > fetched_before
                failures = 1 if progress else failures + 1
                if max_tries is not None and (failures >= max_tries or error.needs_user):
                    raise
                delay_s = BACKOFF.delay_s(failures)
            on_wait(error, delay_s)
            sleep(delay_s)
