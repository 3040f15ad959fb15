"""Read the pages of a document together, and split a batch that failed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ocrd.engine.runtime.failover import Failover
from ocrd.engine.runtime.failure_log import log_failure
from ocrd.engine.runtime.failures import Failure, FailureKind
from ocrd.engine.runtime.loaded_model import LoadedModel
from ocrd.engine.runtime.page_queue import PageQueue
from ocrd.engine.runtime.page_recovery import PageReader, make_fallback
from ocrd.engine.runtime.read_options import ReadOptions
from ocrd.errors import FreshWorkerNeeded, UsageError
from ocrd.types import PageReading


class BatchReader:
    """Reads pages together where that is possible, and alone where it is not.

    Attributes:
        batch: Most pages that are decoded at the same time. Smaller after memory ran out.
    """

    def __init__(
        self, model: LoadedModel, failover: Failover, *, page_reader: PageReader, batch: int
    ) -> None:
        self.batch = batch
        self._model = model
        self._failover = failover
        self._page_reader = page_reader

    def read(self, queue: PageQueue, options: ReadOptions) -> Iterator[PageReading]:
        """Read all pages of ``queue``, and yield their readings in its order.

        When a batch fails, each of its pages is read alone, with all recovery steps. If memory ran
        out, smaller batches are tried first.

        Raises:
            EngineError: A page cannot be read.
            FreshWorkerNeeded: Only a new process can read the next page.
            UsageError: There is no such task.
            Exception: What the source of the pages raised, after the pages before it.
        """
        while queue:
            alone = (
                options.page_by_page
                or self.batch == 1
                or not self._failover.on_primary
                or queue.next_is_alone()
            )
            if alone:
                yield self._read_next_alone(queue, options)
            else:
                yield from self._read_batch(queue, options)

    def _read_next_alone(self, queue: PageQueue, options: ReadOptions) -> PageReading:
        index, image = queue.take()
        try:
            reading = self._page_reader.read(index, image, options=options)
        except FreshWorkerNeeded as error:
            fallbacks = (*queue.finish(index), *error.fallbacks)
            raise FreshWorkerNeeded(str(error), fallbacks) from error
        return _finish(queue, reading)

    def _read_batch(self, queue: PageQueue, options: ReadOptions) -> Iterator[PageReading]:
        """Read until the queue ends or the batch fails; then queue its pages again."""
        readings = self._model.recognizer.read_pages(
            queue,
            options.task,
            limits=options.limits,
            slots=self.batch,
            progress=options.progress,
        )
        try:
            while True:
                with self._model.running_on(self._model.current):
                    reading = next(readings, None)
                if reading is None:
                    break
                yield _finish(queue, reading)
            # Otherwise the keys and values of the batch would count as growth of the worker.
            self._model.free_cache()
        except UsageError:
            raise
        except Exception as error:
            self._split(queue, error)

    def _split(self, queue: PageQueue, error: Exception) -> None:
        """Queue the pages of a failed batch again: in smaller batches, or alone."""
        failure = Failure.from_error(error, self._model.current)
        make_smaller = failure.kind is FailureKind.OUT_OF_MEMORY and self.batch > 2
        action = "alone"
        if make_smaller:
            self.batch //= 2
            action = f"smaller-batch ({self.batch})"
            self._model.free_cache()
        log_failure(
            "reading a batch failed", failure, error=error, action=action, pages=queue.in_progress
        )
        for index in queue.in_progress:
            queue.failures[index].append(make_fallback(index, failure, action=action))
        queue.return_in_progress(alone=not make_smaller)


def _finish(queue: PageQueue, reading: PageReading) -> PageReading:
    """Take the page out of the queue, and add to its reading what failed in earlier batches."""
    earlier = queue.finish(reading.index)
    return replace(reading, fallbacks=(*earlier, *reading.fallbacks)) if earlier else reading
