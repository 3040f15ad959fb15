"""Noticing that the model writes the same thing again and again, even where its coordinates change.

The n-gram guard bans what was written within its last 90 tokens. Two kinds of loop pass it: those
with a longer period, and in grounded output those that write a block again with other coordinates
each time. So coordinates are masked here: all from ``<|det|>`` to ``<|/det|>`` counts as one
symbol. Every other token is a symbol of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# The symbol of all coordinates.
DET = -1
# Stands before the first symbol, so that the window over the past has one length; equal to no
# symbol.
BEFORE = -2
ROOM = 1024


@dataclass(frozen=True)
class Bounds:
    """How much repetition is a loop, in tokens since the first copy ended.

    ``longest_unit`` is in symbols.

    Two repetitions (three copies) are needed at least, and then ``twice`` tokens, or ``thrice``
    when there are three repetitions; ``exempt`` where the unit is of exempt tokens alone; none of
    the three less than ``thrice``. Coordinates longer than ``det`` tokens are a loop inside
    themselves: their first ``det_kept`` are worth keeping.
    """

    longest_unit: int = 512
    thrice: int = 120
    twice: int = 160
    exempt: int = 600
    det: int = 300
    det_kept: int = 120


class RepetitionDetector:
    """Fed token by token, says when a loop is certain and how much of the text came before it.

    Units of up to 40 tokens are stopped 120 to 160 tokens after their first copy, units of up to
    100 after at most 200, longer ones as soon as their second repetition is complete; coordinates
    that grow from copy to copy add their growth. A paragraph that stands twice and a form in
    duplicate are no loop; three equal copies are one, if they are long enough. Units above
    ``longest_unit`` symbols are not seen.

    ``det_open``, ``det_close`` and ``ref_open`` are the ids of ``<|det|>``, ``<|/det|>`` and
    ``<|ref|>``, None where the tokenizer has none. Units of ``exempt`` tokens alone (empty table
    cells) may repeat for longer, since forms do that; coordinates are exempt when ``det_open`` is.

    A token costs 4 to 7 microseconds, 20 to 30 while something has repeated for ``thrice`` tokens
    and is no loop yet (numpy 2.4, an AMD EPYC idle and busy), and 8 to 16 bytes.
    """

    def __init__(
        self,
        det_open: int | None,
        det_close: int | None,
        *,
        ref_open: int | None = None,
        exempt: frozenset[int] = frozenset(),
        bounds: Bounds = Bounds(),
    ) -> None:
        masks = det_open is not None and det_close is not None  # else a det would never end
        self._det_open, self._det_close = (det_open, det_close) if masks else (None, None)
        self._ref_open = ref_open
        self._exempt = exempt | {DET} if det_open in exempt else exempt
        self._bounds = bounds
        self._tokens = 0
        self._det_from: int | None = None
        self._count = 0  # of symbols
        self._last_plain = 0  # the count of symbols up to the last that is not exempt
        # One slot a period, the longest first, as the window over the past lies in memory. No
        # period can be a loop before it is due: at the count of tokens that it reaches if nothing
        # differs until then.
        self._periods = np.arange(bounds.longest_unit, 0, -1, dtype=np.int32)
        self._least = np.maximum(2 * self._periods, bounds.thrice)
        self._due = self._least.copy()
        self._due_if_broken = self._least.copy()
        self._symbols = np.full(bounds.longest_unit + ROOM, BEFORE, dtype=np.int32)
        self._ends = np.zeros(ROOM, dtype=np.int32)  # the position of each symbol's last token

    def push(self, token: int) -> int | None:
        """None while all is well, else how many of the tokens to keep.

        Up to the end of the unit's first copy.

        In grounded output the cut is moved on to the next ``<|ref|>``, so that the last block is
        whole.
        """
        self._tokens += 1
        if self._det_from is not None:
            if token != self._det_close:
                endless = self._tokens - self._det_from > self._bounds.det
                return self._det_from + self._bounds.det_kept if endless else None
            token = DET
            self._det_from = None
        elif token == self._det_open:
            self._det_from = self._tokens - 1
            return None
        return self._compare(token)

    def _compare(self, symbol: int) -> int | None:
        if self._count == len(self._ends):
            self._grow()
        past = self._symbols[self._count : self._count + self._bounds.longest_unit]
        self._symbols[self._count + self._bounds.longest_unit] = symbol
        self._ends[self._count] = self._tokens - 1
        self._count += 1
        if symbol not in self._exempt:
            self._last_plain = self._count
        np.add(self._least, self._tokens, out=self._due_if_broken)
        np.putmask(self._due, past != symbol, self._due_if_broken)
        return None if self._due[self._due.argmin()] > self._tokens else self._cut()

    def _cut(self) -> int | None:
        """Of the periods that have repeated for long enough the shortest, if any, says where to
        cut.
        """
        due = np.flatnonzero(self._due <= self._tokens)
        periods = self._periods[due]
        began = self._due[due] - self._least[due]
        ends = self._ends[: self._count]
        first = np.searchsorted(ends, began)
        run = self._count - first
        needed = np.where(run >= 3 * periods, self._bounds.thrice, self._bounds.twice)
        needed[periods <= self._count - self._last_plain] = self._bounds.exempt
        loops = np.flatnonzero((run >= 2 * periods) & (self._tokens - began >= needed))
        if not len(loops):
            return None
        shortest = loops[-1]
        unit = slice(first[shortest], first[shortest] + periods[shortest])
        refs = ends[unit][self._symbols[self._bounds.longest_unit :][unit] == self._ref_open]
        return int(refs[0] if len(refs) else began[shortest])

    def _grow(self) -> None:
        more = np.zeros_like(self._ends)
        self._symbols = np.concatenate([self._symbols, more])
        self._ends = np.concatenate([self._ends, more])
