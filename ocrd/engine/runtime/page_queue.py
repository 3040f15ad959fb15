"""The pages of a document on their way to the engine, each kept until it is read."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator

from PIL import Image

from ocrd.types import Fallback

IndexedImage = tuple[int, Image.Image]


class PageQueue:
    """Requests pages one at a time, and returns them again after a failure.

    Attributes:
        failures: What failed while a page was in a batch, by its index.
    """

    def __init__(self, pages: Iterable[IndexedImage]) -> None:
        """Create a queue of ``pages``, (index, picture), in their order."""
        self.failures: defaultdict[int, list[Fallback]] = defaultdict(list)
        self._source = iter(pages)
        self._source_error: Exception | None = None
        self._waiting: deque[IndexedImage] = deque()
        # How many of the next pages must be read alone.
        self._alone_count = 0
        self._in_progress: dict[int, Image.Image] = {}

    def __bool__(self) -> bool:
        """Return whether there is another page.

        Raises:
            Exception: What the source raised for the next page, after all pages before it.
        """
        if not self._waiting:
            self._request_next()
        if not self._waiting and self._source_error:
            raise self._source_error
        return bool(self._waiting)

    def __iter__(self) -> Iterator[IndexedImage]:
        """Take all pages. Ends where the source raises, so that a batch reads what it has."""
        while self._waiting or self._request_next():
            yield self.take()

    @property
    def in_progress(self) -> list[int]:
        """Indexes of the pages that were taken and not finished."""
        return list(self._in_progress)

    def next_is_alone(self) -> bool:
        """Return whether the next page is read alone: it is the last one, or its batch failed."""
        if self._alone_count == 0 and len(self._waiting) == 1:
            self._request_next()
        return self._alone_count > 0 or len(self._waiting) == 1

    def take(self) -> IndexedImage:
        """Take the next page. There must be one."""
        index, image = self._waiting.popleft()
        self._alone_count = max(0, self._alone_count - 1)
        self._in_progress[index] = image
        return index, image

    def finish(self, index: int) -> list[Fallback]:
        """Release the page, and return what failed while it was in a batch."""
        self._in_progress.pop(index, None)
        return self.failures.pop(index, [])

    def return_in_progress(self, *, alone: bool) -> None:
        """Queue the pages in progress again, before the others.

        Args:
            alone: Whether each of them is read alone. Then at least one page is.
        """
        self._waiting.extendleft(reversed(self._in_progress.items()))
        self._alone_count = max(1, len(self._in_progress)) if alone else 0
        self._in_progress.clear()

    def _request_next(self) -> bool:
        """Return whether the source had another page."""
        if self._source_error:
            return False
        try:
            page = next(self._source, None)
        except Exception as error:
            # The document's error, not the engine's: raised when all pages before it are read.
            self._source_error = error
            return False
        if page is None:
            return False
        self._waiting.append(page)
        return True
