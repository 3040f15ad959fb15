"""Keys and values of the pages in hand, each in a slot of its own, in buffers that are made once.

No concatenation for each token. The room doubles when a page needs more, so that 8192 possible
tokens do not cost the memory that most pages never use (1.1 GB a page in float32 at full size).
"""

from __future__ import annotations

import torch
from torch import Tensor


class SlotCache:
    """First each page's prompt is filled into a new slot.

    Then all slots go on by a token at a time.
    """

    def __init__(self, layers: int, slots: int, *, room: int, most: int | None = None) -> None:
        """``room``: positions to begin with; ``most``: those that there can be."""
        # Positions filled, by slot.
        self.lengths: list[int] = []
        # [n, 1, 1, L], True where a slot has a key; None where all are equally long.
        self.mask: Tensor | None = None
        self.positions = torch.empty(0)
        self._slots = slots
        self._room = room
        self._most = most
        self._keys: list[Tensor | None] = [None] * layers
        self._values: list[Tensor | None] = [None] * layers
        self._rows = torch.empty(0)
        self._filling = False

    def begin_prompt(self, length: int, device: torch.device) -> None:
        """A new slot takes the next call, of ``length`` positions."""
        assert len(self.lengths) < self._slots, "a slot must be given back first"
        self._filling = True
        self.mask = None
        self.lengths.append(length)
        self.positions = torch.arange(length, device=device)[None]

    def begin_step(self, device: torch.device) -> None:
        """Each slot takes one position of the next call."""
        self._filling = False
        self.positions = torch.tensor(self.lengths, device=device)[:, None]
        self._rows = torch.arange(len(self.lengths), device=device)
        longest = max(self.lengths)
        uneven = min(self.lengths) < longest
        self.mask = (
            (torch.arange(longest + 1, device=device) <= self.positions)[:, None, None]
            if uneven
            else None
        )
        self.lengths = [length + 1 for length in self.lengths]

    def update(  # noqa: PLR0917 - transformers calls it by position
        self,
        key_states: Tensor,
        value_states: Tensor,
        layer_idx: int,
        *args: object,
        **kwargs: object,
    ) -> tuple[Tensor, Tensor]:
        """Take in [n, heads, t, d] and give back what the queries may look at.

        [n, heads, length, d].
        """
        keys = self._keys[layer_idx] = self._roomy(self._keys[layer_idx], key_states)
        values = self._values[layer_idx] = self._roomy(self._values[layer_idx], value_states)
        if self._filling:
            slot = len(self.lengths) - 1
            length = self.lengths[-1]
            keys[slot, :, :length] = key_states[0]
            values[slot, :, :length] = value_states[0]
            return key_states, value_states
        if len(self.lengths) == 1:
            end = self.lengths[0]
            keys[:1, :, end - 1 : end] = key_states
            values[:1, :, end - 1 : end] = value_states
            return keys[:1, :, :end], values[:1, :, :end]
        keys[self._rows, :, self.positions[:, 0]] = key_states[:, :, 0]
        values[self._rows, :, self.positions[:, 0]] = value_states[:, :, 0]
        count = len(self.lengths)
        longest = max(self.lengths)
        return keys[:count, :, :longest], values[:count, :, :longest]

    def drop(self, slot: int) -> None:
        """Give back ``slot``; the last one moves to its place."""
        last = len(self.lengths) - 1
        if slot != last:
            length = self.lengths[last]
            for buffer in (*self._keys, *self._values):
                if buffer is not None:
                    buffer[slot, :, :length] = buffer[last, :, :length]
            self.lengths[slot] = length
        self.lengths.pop()

    def _roomy(self, buffer: Tensor | None, like: Tensor) -> Tensor:
        needed = max(self.lengths)
        if buffer is not None and needed <= buffer.shape[2]:
            return buffer
        _, heads, _, width = like.shape
        size = max(self._room, 2 * buffer.shape[2] if buffer is not None else 0)
        size = max(needed, min(size, self._most or size))
        # Zeros, not whatever lies there: what is masked still goes through a product, where NaN
        # would spread.
        grown = like.new_zeros(self._slots, heads, size, width)
        if buffer is not None:
            grown[:, :, : buffer.shape[2]] = buffer
        return grown
