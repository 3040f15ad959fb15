"""One line on standard error that shows progress."""

from __future__ import annotations

import sys
from typing import TextIO

MAX_LENGTH = 200


class ProgressLine:
    """A line that is overwritten in place on a terminal and not shown elsewhere."""

    def __init__(self, out: TextIO | None = None) -> None:
        """Write to ``out``, by default to standard error."""
        self._out = sys.stderr if out is None else out
        self.is_terminal = self._out.isatty()

    def update(self, text: str) -> None:
        """Replace the line; nothing happens when standard error is not a terminal."""
        if self.is_terminal:
            self._write(text[:MAX_LENGTH])

    def clear(self) -> None:
        """Remove the line from the terminal."""
        self.update("")

    def print_above(self, text: str) -> None:
        """Print a line that stays, on a terminal or elsewhere."""
        self._write(f"{text}\n")

    def _write(self, text: str) -> None:
        # Return to the line's start and clear it, so that nothing of the previous text remains.
        self._out.write(f"\r\033[K{text}" if self.is_terminal else text)
        self._out.flush()
