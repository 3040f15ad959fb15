"""A page leaves the queue only when it is read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PIL import Image

from ocrd.engine.runtime.page_queue import PageQueue
from ocrd.errors import DamagedDocument

PICTURE = Image.new("RGB", (1, 1))


def source(count: int, *, requested: list[int] | None = None) -> Iterator[tuple[int, Image.Image]]:
    for index in range(count):
        if requested is not None:
            requested.append(index)
        yield index, PICTURE


def indexes(queue: PageQueue) -> list[int]:
    return [index for index, _ in queue]


def test_pages_are_requested_one_at_a_time() -> None:
    requested: list[int] = []
    queue = PageQueue(source(5, requested=requested))
    assert requested == [] and queue and requested == [0]
    queue.take()
    assert requested == [0]


def test_pages_of_a_failed_batch_come_again_before_the_others_and_in_order() -> None:
    queue = PageQueue(source(4))
    for _ in range(3):
        assert queue
        queue.take()
    queue.finish(1)
    assert queue.in_progress == [0, 2]
    queue.return_in_progress(alone=False)
    assert queue.in_progress == [] and indexes(queue) == [0, 2, 3]


def test_pages_that_are_returned_to_be_read_alone_are_read_alone() -> None:
    queue = PageQueue(source(5))
    for _ in range(2):
        assert queue
        queue.take()
    queue.return_in_progress(alone=True)
    alone = []
    while queue:
        alone.append(queue.next_is_alone())
        queue.finish(queue.take()[0])
    # The two of the failed batch, and the last one, which has no other to be read with.
    assert alone == [True, True, False, False, True]


def test_the_error_of_the_source_is_raised_after_the_pages_before_it() -> None:
    def damaged() -> Iterator[tuple[int, Image.Image]]:
        yield from source(2)
        raise DamagedDocument("page 3 is damaged")

    queue = PageQueue(damaged())
    assert indexes(queue) == [0, 1]
    for _ in range(2):
        with pytest.raises(DamagedDocument, match="page 3"):
            bool(queue)
