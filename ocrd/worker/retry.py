"""One document read in the foreground, with the patience that the daemon has.

A new worker where one ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ocrd.worker.messages import Message, Request
from ocrd.worker.process import Worker, WorkerDied, WorkerRetired

# Workers that may end over one document; the last one is on the CPU alone.
TRIES = 3


def read_with_retries(worker: Worker, request: Request) -> Iterator[Message]:
    """As `Worker.read`, going on at the next page in a new worker where one died or is used up.

    Raises what `Worker.read` raises, WorkerDied when the last one died too.
    """
    deaths = 0
    fresh = False
    start = request.start
    while True:
        try:
            for message in worker.read(
                replace(request, start=start, fresh=fresh, alone=deaths > 0),
                on_cpu=deaths == TRIES - 1,
            ):
                if message["event"] == "page":
                    start += 1
                yield message
            return
        except (WorkerRetired, WorkerDied) as error:
            if isinstance(error, WorkerRetired) and not fresh:
                fresh = True
                continue
            deaths += 1
            if deaths == TRIES:
                raise
