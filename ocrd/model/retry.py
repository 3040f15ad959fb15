"""Heal again and again while what stands in the way may pass."""

from __future__ import annotations

import time
from collections.abc import Callable

from ocrd.backoff import Backoff
from ocrd.errors import ModelUnavailable
from ocrd.model.heal import Healer
from ocrd.model.verify import Report

# Between tries.
BACKOFF = Backoff((5.0, 15.0, 60.0, 300.0, 600.0))

# Seconds before asking again for the lock that another process holds; asking itself waits as well.
AFTER_OTHERS = 1.0

OnWait = Callable[[ModelUnavailable, float], None]


def heal_with_retries(
    healer: Healer,
    tries: int | None,
    *,
    on_wait: OnWait,
    sleep: Callable[[float], None] = time.sleep,
) -> Report:
    """Heal; wait and try again for what may pass, ``tries`` times in a row without a new byte,
    for ever with None.

    While another process heals, it is waited for in any case.

    Raises ModelUnavailable when the tries are used up, ModelError for what will not pass.
    """
    barren = 0
    while True:
        before = healer.meter.fetched
        try:
            return healer.heal()
        except ModelUnavailable as error:
            wait = AFTER_OTHERS
            if not error.others:
                # A network that is bad but brings something deserves new patience.
                barren = 1 if healer.meter.fetched > before else barren + 1
                if tries is not None and (barren >= tries or not error.soon):
                    raise
                wait = BACKOFF.delay_s(barren)
            on_wait(error, wait)
            sleep(wait)
