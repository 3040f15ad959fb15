"""How a caller follows pages while they are read."""

from __future__ import annotations

from typing import Protocol


class PageProgress(Protocol):
    """Receives the progress of pages. Calls come from the thread that reads."""

    def attempt(self, index: int) -> None:
        """Page ``index`` is about to be read; called again for each further attempt."""
        ...

    def tokens(self, index: int, count: int) -> None:
        """The current attempt at page ``index`` has ``count`` tokens so far."""
        ...


class NoProgress:
    """Ignores the progress of pages."""

    def attempt(self, index: int) -> None:
        """Do nothing."""

    def tokens(self, index: int, count: int) -> None:
        """Do nothing."""
