"""Ban n-grams that would repeat within a window of recent tokens."""

from __future__ import annotations

from collections import Counter, defaultdict, deque

Ngram = tuple[int, ...]


class NgramGuard:
    """Bans tokens that would repeat an n-gram of the last ``window`` tokens.

    Updated incrementally: a token costs one dictionary step, never a rescan of the text.
    """

    def __init__(self, size: int, window: int, *, exempt: frozenset[int] = frozenset()) -> None:
        """Create a guard for one sequence.

        Args:
            size: Tokens of an n-gram. Below 2 the guard bans nothing.
            window: Recent tokens in which an n-gram must not occur twice.
            exempt: Token ids that are never banned.
        """
        self._size = size
        self._window = window
        self._exempt = exempt
        self._recent: deque[int] = deque()
        # The last tokens of all n-grams in the window, counted, by the tokens before them.
        self._followers: defaultdict[Ngram, Counter[int]] = defaultdict(Counter)

    def push(self, token: int) -> None:
        """Append ``token`` to the sequence."""
        if self._size < 2:
            return
        self._recent.append(token)
        if len(self._recent) >= self._size:
            prefix, last = self._ngram_at(len(self._recent) - self._size)
            self._followers[prefix][last] += 1
        if len(self._recent) > self._window:
            self._forget_oldest()

    def banned(self) -> set[int]:
        """Return the tokens that would complete an n-gram of the window again."""
        if self._size < 2 or len(self._recent) < self._size - 1:
            return set()
        end = len(self._recent)
        prefix = tuple(self._recent[i] for i in range(end - self._size + 1, end))
        return set(self._followers.get(prefix, ())) - self._exempt

    def _forget_oldest(self) -> None:
        prefix, last = self._ngram_at(0)
        followers = self._followers[prefix]
        followers[last] -= 1
        if followers[last] <= 0:
            del followers[last]
        if not followers:
            del self._followers[prefix]
        self._recent.popleft()

    def _ngram_at(self, start: int) -> tuple[Ngram, int]:
        """Return the n-gram from ``start`` on: the tokens before its last, and its last."""
        ngram = tuple(self._recent[i] for i in range(start, start + self._size))
        return ngram[:-1], ngram[-1]
