"""Reads one document in the foreground with the daemon's retries: a new worker when one ended."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ocrd.backends.base import MAX_CRASHES, Backend
from ocrd.errors import BackendCrashed, BackendExhausted
from ocrd.read_protocol import PageEvent, PageRead, ReadRequest


def read_with_retries(backend: Backend, request: ReadRequest) -> Iterator[PageEvent]:
    """As `Backend.read`; continues at the next page in a new worker when one ended.

    Raises:
        BackendCrashed: The last worker ended, too.
    """
    crashes = 0
    while True:
        last_try = crashes == MAX_CRASHES - 1
        current = replace(request, page_by_page=crashes > 0)
        try:
            for event in backend.read(current, cpu_only=last_try):
                if isinstance(event, PageRead):
                    request = replace(request, first_page=request.first_page + 1)
                yield event
        except (BackendExhausted, BackendCrashed) as error:
            if isinstance(error, BackendExhausted) and not request.in_new_worker:
                request = replace(request, in_new_worker=True)
                continue
            crashes += 1
            if crashes == MAX_CRASHES:
                raise
        else:
            return
