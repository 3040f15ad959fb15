"""The pages of a document on their way to the engine.

Asked for one by one, kept until they are read.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator

from PIL import Image

from ocrd.types import Fallback


class PageQueue:
    """The pages of a document on their way: asked for one by one, and kept until they are read."""

    def __init__(self, pages: Iterable[tuple[int, Image.Image]]) -> None:
        self._source = iter(pages)
        self._again: deque[tuple[int, Image.Image]] = deque()
        self._alone = 0
        self._taken: dict[int, Image.Image] = {}
        self._trouble: Exception | None = None
        # What befell pages in batches, by index.
        self.mishaps: defaultdict[int, list[Fallback]] = defaultdict(list)

    @property
    def in_hand(self) -> list[int]:
        return list(self._taken)

    def __bool__(self) -> bool:
        """Whether there is another.

        Raises what asking for it raised, when all before it are read.
        """
        if not self._again:
            self._ask()
        if not self._again and self._trouble:
            raise self._trouble
        return bool(self._again)

    def only_one(self) -> bool:
        """Whether the next page is to be read by itself.

        It is the last, or a batch failed with it.
        """
        if self._alone == 0 and len(self._again) == 1:
            self._ask()
        return self._alone > 0 or len(self._again) == 1

    def take(self) -> tuple[int, Image.Image]:
        index, image = self._again.popleft()
        self._alone = max(0, self._alone - 1)
        self._taken[index] = image
        return index, image

    def finish(self, index: int) -> list[Fallback]:
        self._taken.pop(index, None)
        return self.mishaps.pop(index, [])

    def give_back(self, *, alone: bool) -> None:
        """What is in hand comes again, before the others.

        ``alone``: one by one, and one page at least.
        """
        self._again.extendleft(reversed(self._taken.items()))
        self._alone = max(1, len(self._taken)) if alone else 0
        self._taken.clear()

    def __iter__(self) -> Iterator[tuple[int, Image.Image]]:
        """For a batch, which stops asking where asking fails, and reads on what it has."""
        while self._again or self._ask():
            yield self.take()

    def _ask(self) -> bool:
        try:
            page = None if self._trouble else next(self._source, None)
        except (
            Exception
        ) as error:  # the document's fault, not the engine's: told when its turn has come
            self._trouble = error
            page = None
        if page is not None:
            self._again.append(page)
        return page is not None
