"""Detect that the model writes the same text over and over, even if its coordinates change.

The n-gram guard bans what was written within its last 90 tokens. Two kinds of loop pass it: loops
with a longer period, and grounded output that repeats a block with other coordinates each time.
Therefore coordinates are masked here: everything from ``<|det|>`` to ``<|/det|>`` counts as one
symbol. Every other token is a symbol of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ocrd.engine.special_tokens import SpecialTokens

# The symbol of all coordinates.
COORDINATES = -1
# Fills the past before the first symbol, so that the window over it always has the same length.
# Equal to no symbol.
_PADDING = -2
# Symbols by which the buffers grow at first; later they double.
_INITIAL_ROOM = 1024


@dataclass(frozen=True)
class RepetitionLimits:
    """How much repetition is a loop.

    A unit that repeats is a loop after at least two repetitions (three copies), when enough tokens
    were written since its first copy ended. All values but the first are tokens.

    Attributes:
        longest_unit: Longest unit that is compared, in symbols. Longer ones are not detected.
        min_after_three: Enough after three repetitions.
        min_after_two: Enough after two repetitions. Not below ``min_after_three``.
        min_exempt: Enough for a unit of exempt tokens alone. Not below ``min_after_three``.
        max_coordinates: Coordinates longer than this are a loop inside themselves.
        kept_coordinates: How many of their tokens are kept then.
    """

    longest_unit: int = 512
    min_after_three: int = 120
    min_after_two: int = 160
    min_exempt: int = 600
    max_coordinates: int = 300
    kept_coordinates: int = 120


class RepetitionDetector:
    """Takes token after token, and reports a loop and the part of the text before it.

    Units of up to 40 tokens are reported 120 to 160 tokens after their first copy, units of up to
    100 tokens after at most 200, and longer ones when their second repetition is complete.
    Coordinates that grow from copy to copy add their growth. A paragraph that occurs twice and a
    form in duplicate are not loops. Three equal copies are one, if they are long enough.

    Units of table cells alone may repeat for longer, because forms have many empty cells.
    Coordinates count as table cells if ``<|det|>`` is one of ``special_tokens.table_cells``.

    A token costs 4 to 7 microseconds, 20 to 30 while something has repeated for ``min_after_three``
    tokens and is not a loop yet (numpy 2.4, an AMD EPYC idle and busy), and 8 to 16 bytes.
    """

    def __init__(
        self, special_tokens: SpecialTokens, limits: RepetitionLimits = RepetitionLimits()
    ) -> None:
        self._limits = limits
        self._ref_open = special_tokens.ref_open
        self._det_open = special_tokens.det_open
        self._det_close = special_tokens.det_close
        if self._det_open is None or self._det_close is None:
            # Without both, coordinates would never end, so they are tokens like others.
            self._det_open = None
            self._det_close = None
        self._exempt = special_tokens.table_cells
        if special_tokens.det_open in self._exempt:
            self._exempt |= {COORDINATES}
        self._token_count = 0
        # Where open coordinates began.
        self._det_start: int | None = None
        self._symbol_count = 0
        # The number of symbols up to the last one that is not exempt.
        self._last_not_exempt = 0
        # One element for each period, the longest first, as the window over the past is in memory.
        # A period is due at the token count at which it may become a loop if no symbol differs
        # until then. Before that it need not be examined.
        self._periods = np.arange(limits.longest_unit, 0, -1, dtype=np.int32)
        self._min_tokens = np.maximum(2 * self._periods, limits.min_after_three)
        self._due = self._min_tokens.copy()
        self._due_if_broken = self._min_tokens.copy()
        self._symbols = np.full(limits.longest_unit + _INITIAL_ROOM, _PADDING, dtype=np.int32)
        # The position of each symbol's last token.
        self._ends = np.zeros(_INITIAL_ROOM, dtype=np.int32)

    def push(self, token: int) -> int | None:
        """Append ``token``.

        Returns:
            None while there is no loop. Otherwise how many of the tokens to keep: up to the end of
            the unit's first copy, and in grounded output on to the next ``<|ref|>``, so that the
            last block is whole.
        """
        self._token_count += 1
        if self._det_start is not None:
            if token != self._det_close:
                if self._token_count - self._det_start > self._limits.max_coordinates:
                    return self._det_start + self._limits.kept_coordinates
                return None
            self._det_start = None
            return self._push_symbol(COORDINATES)
        if token == self._det_open:
            self._det_start = self._token_count - 1
            return None
        return self._push_symbol(token)

    def _push_symbol(self, symbol: int) -> int | None:
        if self._symbol_count == len(self._ends):
            self._grow()
        longest = self._limits.longest_unit
        past = self._symbols[self._symbol_count : self._symbol_count + longest]
        self._symbols[self._symbol_count + longest] = symbol
        self._ends[self._symbol_count] = self._token_count - 1
        self._symbol_count += 1
        if symbol not in self._exempt:
            self._last_not_exempt = self._symbol_count
        np.add(self._min_tokens, self._token_count, out=self._due_if_broken)
        np.putmask(self._due, past != symbol, self._due_if_broken)
        if self._due[self._due.argmin()] > self._token_count:
            return None
        return self._find_loop()

    def _find_loop(self) -> int | None:
        """Return how many tokens to keep, from the shortest due period that is a loop."""
        due = np.flatnonzero(self._due <= self._token_count)
        periods = self._periods[due]
        # In tokens, and in symbols: where the first copy ended, and what was written since.
        first_copy_end = self._due[due] - self._min_tokens[due]
        ends = self._ends[: self._symbol_count]
        first_repeated = np.searchsorted(ends, first_copy_end)
        repeated = self._symbol_count - first_repeated
        needed = np.where(
            repeated >= 3 * periods, self._limits.min_after_three, self._limits.min_after_two
        )
        needed[periods <= self._symbol_count - self._last_not_exempt] = self._limits.min_exempt
        is_loop = (repeated >= 2 * periods) & (self._token_count - first_copy_end >= needed)
        loops = np.flatnonzero(is_loop)
        if not len(loops):
            return None
        shortest = loops[-1]
        start = first_repeated[shortest]
        unit = slice(start, start + periods[shortest])
        symbols = self._symbols[self._limits.longest_unit :]
        refs = ends[unit][symbols[unit] == self._ref_open]
        return int(refs[0] if len(refs) else first_copy_end[shortest])

    def _grow(self) -> None:
        more = np.zeros_like(self._ends)
        self._symbols = np.concatenate([self._symbols, more])
        self._ends = np.concatenate([self._ends, more])
