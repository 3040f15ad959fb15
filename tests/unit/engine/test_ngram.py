"""The n-gram guard bans what a rescan of the window would ban."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ocrd.engine.ngram import NgramGuard


def rescan(tokens: list[int], size: int, *, window: int) -> set[int]:
    """The guard's rule, written the slow way."""
    recent = tokens[-window:]
    if len(recent) < size - 1:
        return set()
    prefix = recent[len(recent) - size + 1 :]
    ngrams = [recent[i : i + size] for i in range(len(recent) - size + 1)]
    return {ngram[-1] for ngram in ngrams if ngram[:-1] == prefix}


@given(st.lists(st.integers(0, 3), max_size=60), st.integers(2, 5), st.integers(6, 20))
def test_the_incremental_guard_bans_what_a_rescan_bans(
    tokens: list[int], size: int, window: int
) -> None:
    guard = NgramGuard(size, window)
    for count, token in enumerate(tokens, start=1):
        guard.push(token)
        assert guard.banned() == rescan(tokens[:count], size, window=window)


def test_exempt_tokens_are_never_banned() -> None:
    guard = NgramGuard(2, 10, exempt=frozenset({7}))
    for token in (7, 7, 7):
        guard.push(token)
    assert guard.banned() == set()


def test_a_guard_of_size_zero_bans_nothing() -> None:
    guard = NgramGuard(0, 10)
    for token in (7, 7, 7):
        guard.push(token)
    assert guard.banned() == set()
