"""Greedy decoding: a prefill over each page's prompt, then a token of each page at a time."""

from __future__ import annotations

import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ocrd.engine.nn.kv_cache import SlotCache
from ocrd.engine.nn.network import Network
from ocrd.engine.repetition import RepetitionDetector
from ocrd.engine.runtime.failures import NotFinite

# Scores are looked at for numbers that are none at the first token and then now and then: each look
# waits for the device, and what was written since is thrown away with the page.
TOKENS_BETWEEN_LOOKS = 32
# Positions that the cache begins with: gundam's longest prompt and a page of ordinary length.
ROOM = 1536
# ``<td>`` and ``</td>``: empty table cells repeat honestly, so the guard exempts them (vLLM's
# recipe).
TABLE_CELLS = frozenset({128821, 128822})


@dataclass(frozen=True)
class DecodeLimits:
    """When to stop. The defaults are vLLM's recipe for this model."""

    max_new_tokens: int = 8192
    ngram: int = 30
    window: int = 90
    exempt: frozenset[int] = TABLE_CELLS
    seconds: float = float("inf")
    # Whether a text that repeats itself is stopped.
    loops: bool = True


@dataclass(frozen=True)
class Decoded:
    """Token ids without the end token, and why decoding stopped.

    ``eos``, ``length``, ``deadline`` or ``loop``.
    """

    ids: tuple[int, ...]
    stop_reason: str


@dataclass
class NgramGuard:
    """Bans the token that would write an n-gram again within the last ``window`` tokens.

    Kept incrementally: each token costs one dictionary step, never a rescan of the text.
    """

    ngram: int
    window: int
    exempt: frozenset[int] = frozenset()
    _ids: deque[int] = field(default_factory=deque)
    _followers: defaultdict[tuple[int, ...], Counter[int]] = field(
        default_factory=lambda: defaultdict(Counter)
    )

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


@dataclass(frozen=True)
class SpecialTokens:
    """Ids of the tokens by which a loop is told from a text.

    None or nothing where the tokenizer has none.
    """

    det_open: int | None = None
    det_close: int | None = None
    ref_open: int | None = None
    # Of empty table rows, which repeat honestly.
    cells: frozenset[int] = TABLE_CELLS


class _Text:
    """One page's text on its way."""

    def __init__(
        self,
        key: int,
        limits: DecodeLimits,
        *,
        marks: SpecialTokens,
        longest: int,
        on_token: Callable[[int], None],
    ) -> None:
        self.key = key
        self._limits = limits
        self._longest = longest
        self._on_token = on_token
        self.ids: list[int] = []
        # Seconds of its own: a neighbour's prompt, and the neighbours' part of a step, are not its
        # fault.
        self._spent = 0.0
        self.guard = NgramGuard(limits.ngram, limits.window, limits.exempt)
        self._watch = RepetitionDetector(
            marks.det_open, marks.det_close, ref_open=marks.ref_open, exempt=marks.cells
        )

    def take(self, token: int, eos: int, *, seconds: float) -> Decoded | None:
        """The next token, which took ``seconds``; what has become of the page when that ends it."""
        self._spent += seconds
        if token == eos:
            return Decoded(tuple(self.ids), "eos")
        self.ids.append(token)
        self.guard.push(token)
        self._on_token(len(self.ids))
        if self._limits.loops and (worth := self._watch.push(token)) is not None:
            return Decoded(tuple(self.ids[:worth]), "loop")
        if self._spent > self._limits.seconds:
            return Decoded(tuple(self.ids), "deadline")
        return Decoded(tuple(self.ids), "length") if len(self.ids) >= self._longest else None


class Batch:
    """Pages whose texts are written together, a token of each at a time.

    The weights are read once for all.

    `add` pages while there is room, `step` until none is left. Each page's tokens are those that it
    gets alone, up to rounding.
    """

    def __init__(
        self,
        network: Network,
        limits: DecodeLimits,
        *,
        marks: SpecialTokens = SpecialTokens(),
        slots: int = 1,
        clock: Callable[[], float] = time.monotonic,
        forbid_end: bool = False,
    ) -> None:
        """``slots`` pages at most; ``forbid_end`` bans the end token."""
        self._network = network
        self._limits = limits
        self._marks = marks
        self._clock = clock
        self._slots = slots
        self._forbid_end = forbid_end
        sizes = network.arch.decoder
        self._cache = SlotCache(
            sizes.num_layers, slots, room=min(ROOM, sizes.max_positions), most=sizes.max_positions
        )
        # By slot.
        self._texts: list[_Text] = []
        self._ended: list[tuple[int, Decoded]] = []
        self._steps = 0

    def __len__(self) -> int:
        """Pages that have not been given back."""
        return len(self._texts) + len(self._ended)

    @property
    def full(self) -> bool:
        return len(self) >= self._slots

    @torch.inference_mode()
    def add(
        self, key: int, prompt: Tensor, *, on_token: Callable[[int], None] = lambda _count: None
    ) -> None:
        """Read ``prompt`` [1, T, D] of the page called ``key``.

        ``on_token`` is told how many tokens there are so far.

        Raises NotFinite when the scores are not, which a greedy choice would hide.
        """
        began = self._clock()
        longest = min(
            self._limits.max_new_tokens, self._network.arch.decoder.max_positions - prompt.shape[1]
        )
        self._cache.begin_prompt(prompt.shape[1], self._network.device)
        logits = self._network.next_logits(prompt, cache=self._cache)
        self._refuse_not_finite(logits)
        self._texts.append(
            _Text(key, self._limits, marks=self._marks, longest=longest, on_token=on_token)
        )
        self._choose(logits, len(self._texts) - 1, seconds=self._clock() - began)

    @torch.inference_mode()
    def step(self) -> list[tuple[int, Decoded]]:
        """One more token of each page.

        The pages that have ended since the last step, by their keys.

        Raises NotFinite as `add` does, for all pages at once.
        """
        if not self._ended and self._texts:
            network, began = self._network, self._clock()
            last = torch.tensor([text.ids[-1:] for text in self._texts], device=network.device)
            self._cache.begin_step(network.device)
            logits = network.next_logits(
                network.language_model.embed_tokens(last), cache=self._cache
            )
            self._steps += 1
            if self._steps % TOKENS_BETWEEN_LOOKS == 0:
                self._refuse_not_finite(logits)
            self._choose(logits, 0, seconds=(self._clock() - began) / len(self._texts))
        ended = self._ended
        self._ended = []
        return ended

    def _choose(self, logits: Tensor, first: int, *, seconds: float) -> None:
        """The next token of the pages from slot ``first`` on, from their scores [n, V].

        Each took ``seconds``.
        """
        eos = self._network.arch.decoder.eos_token_id
        for row, text in enumerate(self._texts[first:]):
            if banned := text.guard.banned() | ({eos} if self._forbid_end else set()):
                logits[row, list(banned)] = float("-inf")
        tokens: list[int] = logits.argmax(-1).tolist()
        for slot in reversed(range(first, len(self._texts))):
            text = self._texts[slot]
            if done := text.take(tokens[slot - first], eos, seconds=seconds):
                self._ended.append((text.key, done))
                self._texts[slot] = self._texts[-1]
                self._texts.pop()
                self._cache.drop(slot)

    def _refuse_not_finite(self, logits: Tensor) -> None:
        if not bool(torch.isfinite(logits).all()):
            where = f"{self._network.device.type} in {self._network.dtype}"
            raise NotFinite(f"the model's scores are not finite on {where}")


def decode(
    network: Network,
    prompt: Tensor,
    *,
    limits: DecodeLimits,
    on_token: Callable[[int], None] = lambda _count: None,
    clock: Callable[[], float] = time.monotonic,
    forbid_end: bool = False,
) -> Decoded:
    """One page alone, from ``prompt`` [1, T, D] until the end token or a limit.

    Raises NotFinite as `Batch` does.
    """
    batch = Batch(network, limits, clock=clock, forbid_end=forbid_end)
    batch.add(0, prompt, on_token=on_token)
    while not (ended := batch.step()):
        pass
    return ended[0][1]
