"""Greedy decoding: prefill each page's prompt, then decode one token of each page at a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ocrd.engine.errors import NonFiniteLogits
from ocrd.engine.ngram import NgramGuard
from ocrd.engine.nn.kv_cache import KVCache
from ocrd.engine.nn.network import Network
from ocrd.engine.repetition import RepetitionDetector
from ocrd.engine.special_tokens import TABLE_CELLS, SpecialTokens

# Logits are checked for NaN and infinity after the prompt and then once in so many steps, because
# each check waits for the device. What was written in between is discarded with the page.
STEPS_BETWEEN_FINITE_CHECKS = 32
# Positions for which the cache has room at first: gundam's longest prompt and a page of ordinary
# length.
INITIAL_CACHE_POSITIONS = 1536


@dataclass(frozen=True)
class DecodeLimits:
    """When decoding of a page stops. The defaults are vLLM's recipe for this model.

    Attributes:
        max_new_tokens: Most tokens of a page.
        ngram_size: No n-gram of so many tokens may repeat within the window; 0 allows all.
        ngram_window: That window, in tokens.
        ngram_exempt: Token ids that the n-gram rule never bans.
        deadline_s: Most seconds of a page, without the share of other pages in its batch.
        stop_repetition: Whether a page that repeats itself is stopped.
    """

    max_new_tokens: int = 8192
    ngram_size: int = 30
    ngram_window: int = 90
    ngram_exempt: frozenset[int] = TABLE_CELLS
    deadline_s: float = float("inf")
    stop_repetition: bool = True


@dataclass(frozen=True)
class DecodeResult:
    """What was decoded for one page.

    Attributes:
        token_ids: Without the end token. After a ``loop``, only the part that is worth keeping.
        stop_reason: ``eos``, ``length``, ``deadline`` or ``loop``.
    """

    token_ids: tuple[int, ...]
    stop_reason: str


class Sequence:
    """The tokens of one page while it is decoded, and the rules that stop it."""

    def __init__(
        self,
        key: int,
        limits: DecodeLimits,
        *,
        special_tokens: SpecialTokens,
        max_tokens: int,
        on_token: Callable[[int], None],
    ) -> None:
        self.key = key
        self.token_ids: list[int] = []
        self.ngram_guard = NgramGuard(
            limits.ngram_size, limits.ngram_window, exempt=limits.ngram_exempt
        )
        self._limits = limits
        self._max_tokens = max_tokens
        self._on_token = on_token
        self._repetition = RepetitionDetector(special_tokens)
        # Only this page's share. The prompts and tokens of other pages must not use up its time.
        self._seconds_used = 0.0

    def append(self, token: int, *, eos: int, seconds: float) -> DecodeResult | None:
        """Append the next token, which took ``seconds``; return a result if it ends the page."""
        self._seconds_used += seconds
        if token == eos:
            return DecodeResult(tuple(self.token_ids), "eos")
        self.token_ids.append(token)
        self.ngram_guard.push(token)
        self._on_token(len(self.token_ids))
        if self._limits.stop_repetition:
            kept = self._repetition.push(token)
            if kept is not None:
                return DecodeResult(tuple(self.token_ids[:kept]), "loop")
        if self._seconds_used > self._limits.deadline_s:
            return DecodeResult(tuple(self.token_ids), "deadline")
        if len(self.token_ids) >= self._max_tokens:
            return DecodeResult(tuple(self.token_ids), "length")
        return None


class Batch:
    """Pages that are decoded together, one token of each at a time.

    The weights are read once for all pages. Call `add` while the batch is not `full`, and `step`
    until it is empty. A page gets the tokens that it gets alone, up to rounding.
    """

    def __init__(
        self,
        network: Network,
        limits: DecodeLimits,
        *,
        special_tokens: SpecialTokens = SpecialTokens(),  # noqa: B008 - frozen
        slots: int = 1,
        clock: Callable[[], float] = time.monotonic,
        ban_eos: bool = False,
    ) -> None:
        """Create an empty batch.

        Args:
            network: The network that decodes.
            limits: When each page stops.
            special_tokens: For the detection of repetition.
            slots: Most pages at the same time.
            clock: Seconds from any start, for ``limits.deadline_s``.
            ban_eos: Whether the end token is never chosen (for tests and measurements).
        """
        self._network = network
        self._limits = limits
        self._special_tokens = special_tokens
        self._slots = slots
        self._clock = clock
        self._ban_eos = ban_eos
        sizes = network.arch.decoder
        self._cache = KVCache(
            sizes.num_layers,
            slots,
            initial_length=min(INITIAL_CACHE_POSITIONS, sizes.max_positions),
            max_length=sizes.max_positions,
        )
        # By slot of the cache.
        self._sequences: list[Sequence] = []
        self._ended: list[tuple[int, DecodeResult]] = []
        self._steps = 0

    def __len__(self) -> int:
        """Return the number of pages that `step` has not returned yet."""
        return len(self._sequences) + len(self._ended)

    @property
    def full(self) -> bool:
        """Whether there is no room for another page."""
        return len(self) >= self._slots

    @torch.inference_mode()
    def add(
        self, key: int, prompt: Tensor, *, on_token: Callable[[int], None] = lambda _count: None
    ) -> None:
        """Prefill a page's prompt and decode its first token.

        Args:
            key: The caller's name for the page.
            prompt: Embeddings [1, T, D].
            on_token: Called after each token with the number of tokens so far.

        Raises:
            NonFiniteLogits: The logits are not finite.
        """
        started = self._clock()
        max_positions = self._network.arch.decoder.max_positions
        max_tokens = min(self._limits.max_new_tokens, max_positions - prompt.shape[1])
        self._cache.begin_prefill(prompt.shape[1], self._network.device)
        logits = self._network.next_logits(prompt, cache=self._cache)
        self._check_finite(logits)
        self._sequences.append(
            Sequence(
                key,
                self._limits,
                special_tokens=self._special_tokens,
                max_tokens=max_tokens,
                on_token=on_token,
            )
        )
        self._append_tokens(logits, len(self._sequences) - 1, seconds=self._clock() - started)

    @torch.inference_mode()
    def step(self) -> list[tuple[int, DecodeResult]]:
        """Decode one token of each page, unless a page has ended already.

        Returns:
            The pages that have ended since the last call, as (key, result).

        Raises:
            NonFiniteLogits: The logits of one of the pages are not finite.
        """
        if self._sequences and not self._ended:
            started = self._clock()
            network = self._network
            last_tokens = torch.tensor(
                [sequence.token_ids[-1:] for sequence in self._sequences], device=network.device
            )
            self._cache.begin_decode(network.device)
            embedded = network.language_model.embed_tokens(last_tokens)
            logits = network.next_logits(embedded, cache=self._cache)
            self._steps += 1
            if self._steps % STEPS_BETWEEN_FINITE_CHECKS == 0:
                self._check_finite(logits)
            share = (self._clock() - started) / len(self._sequences)
            self._append_tokens(logits, 0, seconds=share)
        ended = self._ended
        self._ended = []
        return ended

    def _append_tokens(self, logits: Tensor, first_slot: int, *, seconds: float) -> None:
        """Choose the next token of the pages from ``first_slot`` on, from their logits [n, V]."""
        eos = self._network.arch.decoder.eos_token_id
        for row, sequence in enumerate(self._sequences[first_slot:]):
            banned = sequence.ngram_guard.banned()
            if self._ban_eos:
                banned.add(eos)
            if banned:
                logits[row, list(banned)] = float("-inf")
        tokens: list[int] = logits.argmax(-1).tolist()
        for slot in reversed(range(first_slot, len(self._sequences))):
            sequence = self._sequences[slot]
            result = sequence.append(tokens[slot - first_slot], eos=eos, seconds=seconds)
            if result is not None:
                self._ended.append((sequence.key, result))
                self._free_slot(slot)

    def _free_slot(self, slot: int) -> None:
        """Move the last page to ``slot``, as the cache does."""
        self._sequences[slot] = self._sequences[-1]
        self._sequences.pop()
        self._cache.free(slot)

    def _check_finite(self, logits: Tensor) -> None:
        if not bool(torch.isfinite(logits).all()):
            where = f"{self._network.device.type} in {self._network.dtype}"
            raise NonFiniteLogits(f"the model's scores are not finite on {where}")


def decode(
    network: Network,
    prompt: Tensor,
    *,
    limits: DecodeLimits,
    on_token: Callable[[int], None] = lambda _count: None,
    clock: Callable[[], float] = time.monotonic,
    ban_eos: bool = False,
) -> DecodeResult:
    """Decode one page alone, from ``prompt`` [1, T, D] to the end token or a limit.

    Raises:
        NonFiniteLogits: The logits are not finite.
    """
    batch = Batch(network, limits, clock=clock, ban_eos=ban_eos)
    batch.add(0, prompt, on_token=on_token)
    ended: list[tuple[int, DecodeResult]] = []
    while not ended:
        ended = batch.step()
    _, result = ended[0]
    return result
