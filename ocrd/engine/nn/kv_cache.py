"""The KV cache: keys and values of the pages that are decoded together, one slot for each page.

The buffers are allocated once and not concatenated for each token. They double when a page needs
more positions, so 8192 possible positions do not cost memory that most pages never use (1.1 GB for
a page in float32 at full size).
"""

from __future__ import annotations

import torch
from torch import Tensor


class KVCache:
    """Keys and values of all layers.

    First `begin_prefill` and one call of the decoder for each page's prompt; it fills a new slot.
    Then `begin_decode` and one call of the decoder for each token; it appends one position to every
    slot.
    """

    def __init__(
        self, num_layers: int, num_slots: int, *, initial_length: int, max_length: int | None = None
    ) -> None:
        """Create an empty cache; the first `update` allocates it.

        Args:
            num_layers: Layers of the decoder.
            num_slots: Most pages at the same time.
            initial_length: Positions of a slot at first.
            max_length: Positions that a slot never exceeds; None for no limit.
        """
        # Positions in use, by slot.
        self.lengths: list[int] = []
        # For the attention of this call: [n, 1, 1, L], True where a slot has a key; None when all
        # slots have the same length.
        self.mask: Tensor | None = None
        # Position of each token of this call: [1, T] in prefill, [n, 1] in decoding.
        self.positions = torch.empty(0)
        self._num_slots = num_slots
        self._initial_length = initial_length
        self._max_length = max_length
        # By layer: [slots, heads, positions, head size].
        self._keys: list[Tensor | None] = [None] * num_layers
        self._values: list[Tensor | None] = [None] * num_layers
        self._slot_indices = torch.empty(0)
        self._is_prefill = False

    def begin_prefill(self, length: int, device: torch.device) -> None:
        """Start a new slot: the decoder's next call brings its ``length`` positions."""
        assert len(self.lengths) < self._num_slots, "free a slot first"
        self._is_prefill = True
        self.mask = None
        self.lengths.append(length)
        self.positions = torch.arange(length, device=device)[None]

    def begin_decode(self, device: torch.device) -> None:
        """Start a decoding step: the decoder's next call brings one position of each slot."""
        self._is_prefill = False
        self.positions = torch.tensor(self.lengths, device=device)[:, None]
        self._slot_indices = torch.arange(len(self.lengths), device=device)
        longest = max(self.lengths)
        self.mask = None
        if min(self.lengths) < longest:
            columns = torch.arange(longest + 1, device=device)
            self.mask = (columns <= self.positions)[:, None, None]
        self.lengths = [length + 1 for length in self.lengths]

    def update(  # noqa: PLR0917 - transformers calls it by position
        self,
        key_states: Tensor,
        value_states: Tensor,
        layer_idx: int,
        *_args: object,
        **_kwargs: object,
    ) -> tuple[Tensor, Tensor]:
        """Store the keys and values of this call; transformers' attention layers call it.

        Args:
            key_states: [n, heads, T, head size].
            value_states: As ``key_states``.
            layer_idx: The layer.
            _args: What other versions of transformers pass to a cache.
            _kwargs: As ``_args``.

        Returns:
            The keys and values that the queries attend to, each [n, heads, L, head size].
        """
        keys = self._keys[layer_idx] = self._grown(self._keys[layer_idx], key_states)
        values = self._values[layer_idx] = self._grown(self._values[layer_idx], value_states)
        if self._is_prefill:
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
        keys[self._slot_indices, :, self.positions[:, 0]] = key_states[:, :, 0]
        values[self._slot_indices, :, self.positions[:, 0]] = value_states[:, :, 0]
        count = len(self.lengths)
        longest = max(self.lengths)
        return keys[:count, :, :longest], values[:count, :, :longest]

    def free(self, slot: int) -> None:
        """Free ``slot``; the last slot moves to its place."""
        last = len(self.lengths) - 1
        if slot != last:
            length = self.lengths[last]
            for buffer in (*self._keys, *self._values):
                if buffer is not None:
                    buffer[slot, :, :length] = buffer[last, :, :length]
            self.lengths[slot] = length
        self.lengths.pop()

    def _grown(self, buffer: Tensor | None, states: Tensor) -> Tensor:
        """The buffer, or a larger copy when the longest slot does not fit."""
        needed = max(self.lengths)
        if buffer is not None and needed <= buffer.shape[2]:
            return buffer
        _, heads, _, head_size = states.shape
        size = max(self._initial_length, 2 * buffer.shape[2] if buffer is not None else 0)
        size = max(needed, min(size, self._max_length or size))
        # Zeros, not uninitialised memory: masked positions are multiplied too, and NaN would
        # spread.
        grown = states.new_zeros(self._num_slots, heads, size, head_size)
        if buffer is not None:
            grown[:, :, : buffer.shape[2]] = buffer
        return grown
