"""Greedy decoding: one prefill over the prompt, then a token at a time over a preallocated cache."""

from __future__ import annotations

import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor
from transformers.cache_utils import Cache
from transformers.models.deepseek_ocr2.modeling_deepseek_ocr2 import DeepseekOcr2TextModel

from ocrd.engine.failures import NotFinite
from ocrd.engine.network import Network

TOKENS_BETWEEN_LOOKS = 32
"""Scores are looked at for numbers that are none at the first token and then now and then: each look waits for the
device, and what was written since is thrown away with the page."""
TABLE_CELLS = frozenset({128821, 128822})
"""``<td>`` and ``</td>``: empty table cells repeat honestly, so the guard exempts them (vLLM's recipe)."""


@dataclass(frozen=True)
class Limits:
    """When to stop. The defaults are vLLM's recipe for this model."""

    max_new_tokens: int = 8192
    ngram: int = 30
    window: int = 90
    exempt: frozenset[int] = TABLE_CELLS
    seconds: float = float("inf")


@dataclass(frozen=True)
class Decoded:
    """Token ids without the end token, and why decoding stopped: ``eos``, ``length`` or ``deadline``."""

    ids: tuple[int, ...]
    stop_reason: str


class PreallocatedCache(Cache):  # type: ignore[misc]  # transformers is untyped here
    """Keys and values in one buffer a layer that doubles when full, handed out as views.

    No concatenation for each token; doubling keeps 8192 possible tokens from costing memory that most
    pages never use (1.1 GB in float32 at full size).
    """

    def __init__(self, layers: int, room: int) -> None:
        super().__init__(layers=[])
        self._keys: list[Tensor | None] = [None] * layers
        self._values: list[Tensor | None] = [None] * layers
        self._lengths = [0] * layers
        self._room = room

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Append [B, heads, t, d] and give back all so far: [B, heads, length, d]."""
        start = self._lengths[layer_idx]
        end = self._lengths[layer_idx] = start + key_states.shape[2]
        keys = self._keys[layer_idx] = self._roomy(self._keys[layer_idx], key_states, start, end)
        values = self._values[layer_idx] = self._roomy(self._values[layer_idx], value_states, start, end)
        keys[:, :, start:end] = key_states
        values[:, :, start:end] = value_states
        return keys[:, :, :end], values[:, :, :end]

    def _roomy(self, buffer: Tensor | None, like: Tensor, filled: int, needed: int) -> Tensor:
        if buffer is not None and needed <= buffer.shape[2]:
            return buffer
        batch, heads, _, width = like.shape
        size = max(needed, self._room, 2 * buffer.shape[2] if buffer is not None else 0)
        grown = like.new_empty(batch, heads, size, width)
        if buffer is not None:
            grown[:, :, :filled] = buffer[:, :, :filled]
        return grown

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return self._lengths[layer_idx]


@dataclass
class NgramGuard:
    """Bans the token that would write an n-gram again within the last ``window`` tokens.

    Kept incrementally: each token costs one dictionary step, never a rescan of the text.
    """

    ngram: int
    window: int
    exempt: frozenset[int] = frozenset()
    _ids: deque[int] = field(default_factory=deque)
    _followers: defaultdict[tuple[int, ...], Counter[int]] = field(default_factory=lambda: defaultdict(Counter))

    def push(self, token: int) -> None:
        if self.ngram < 2:
            return
        self._ids.append(token)
        if len(self._ids) >= self.ngram:
            prefix, last = self._gram(len(self._ids) - self.ngram)
            self._followers[prefix][last] += 1
        if len(self._ids) > self.window:
            prefix, last = self._gram(0)
            followers = self._followers[prefix]
            followers[last] -= 1
            if followers[last] <= 0:
                del followers[last]
            if not followers:
                del self._followers[prefix]
            self._ids.popleft()

    def banned(self) -> set[int]:
        """Tokens that would complete an n-gram already in the window."""
        if self.ngram < 2 or len(self._ids) < self.ngram - 1:
            return set()
        size = len(self._ids)
        prefix = tuple(self._ids[i] for i in range(size - self.ngram + 1, size))
        return set(self._followers.get(prefix, ())) - self.exempt

    def _gram(self, start: int) -> tuple[tuple[int, ...], int]:
        gram = tuple(self._ids[i] for i in range(start, start + self.ngram))
        return gram[:-1], gram[-1]


@torch.inference_mode()
def decode(
    network: Network,
    prompt: Tensor,
    limits: Limits,
    on_token: Callable[[int], None] = lambda _count: None,
    clock: Callable[[], float] = time.monotonic,
    forbid_end: bool = False,
) -> Decoded:
    """Read on from ``prompt`` [1, T, D] until the end token or a limit; ``forbid_end`` bans the end token.

    Raises NotFinite when the logits are not finite, which a greedy choice would hide.
    """
    arch = network.arch.decoder
    started = clock()
    room = min(prompt.shape[1] + limits.max_new_tokens, prompt.shape[1] + 512)
    cache = PreallocatedCache(arch.layers, room)
    longest = min(limits.max_new_tokens, arch.max_positions - prompt.shape[1])
    guard = NgramGuard(limits.ngram, limits.window, limits.exempt)
    ids: list[int] = []
    logits = next_logits(network, prompt, cache)
    _refuse_not_finite(logits, network)
    while len(ids) < longest:
        banned = guard.banned() | ({arch.eos} if forbid_end else set())
        if banned:
            logits[0, list(banned)] = float("-inf")
        token = int(logits.argmax(-1))
        if token == arch.eos:
            return Decoded(tuple(ids), "eos")
        ids.append(token)
        guard.push(token)
        on_token(len(ids))
        if clock() - started > limits.seconds:
            return Decoded(tuple(ids), "deadline")
        embedded = network.language_model.embed_tokens(torch.tensor([[token]], device=network.device))
        logits = next_logits(network, embedded, cache)
        if len(ids) % TOKENS_BETWEEN_LOOKS == 0:
            _refuse_not_finite(logits, network)
    return Decoded(tuple(ids), "length")


def _refuse_not_finite(logits: Tensor, network: Network) -> None:
    if not bool(torch.isfinite(logits).all()):
        raise NotFinite(f"the model's scores are not finite on {network.device.type} in {network.dtype}")


def next_logits(network: Network, embedded: Tensor, cache: PreallocatedCache) -> Tensor:
    """[1, T, D] new embeddings on top of the cache -> logits [1, V] of the last position only."""
    hidden = run_decoder(network.language_model, embedded, cache)
    logits: Tensor = network.lm_head(hidden[:, -1])
    return logits


def run_decoder(decoder: DeepseekOcr2TextModel, hidden: Tensor, cache: PreallocatedCache) -> Tensor:
    """The decoder's layers over [1, T, D].

    Called directly and without a mask: a first call is causal, later ones see all that came before,
    and no mask over the whole cache is built for each token.
    """
    start = cache.get_seq_length()
    positions = torch.arange(start, start + hidden.shape[1], device=hidden.device)[None]
    rotary = decoder.rotary_emb(hidden, positions)
    for layer in decoder.layers:
        hidden = layer(hidden, position_embeddings=rotary, attention_mask=None, past_key_values=cache)
    normed: Tensor = decoder.norm(hidden)
    return normed
