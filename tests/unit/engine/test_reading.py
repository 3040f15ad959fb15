"""Of several attempts at a page, the one that shows most of it is kept."""

from __future__ import annotations

import pytest

from ocrd.engine.reading import best_attempt
from ocrd.engine.scheduler import DecodedAttempt
from ocrd.types import Attempt


def attempt(stop_reason: str, tokens: int) -> DecodedAttempt:
    return DecodedAttempt(Attempt("base", stop_reason, tokens, 1.0), tuple(range(tokens)))


@pytest.mark.parametrize(("first", "second", "best"), [
    (("loop", 300), ("eos", 200), 1),
    (("loop", 300), ("eos", 100), 1),
    (("loop", 300), ("eos", 99), 0),  # less than a third: it missed the page
    (("loop", 300), ("length", 8192), 1),
    (("loop", 300), ("loop", 299), 0),
    (("loop", 300), ("loop", 301), 1),
])  # fmt: skip
def test_the_longest_complete_attempt_is_kept_unless_it_missed_the_page(
    first: tuple[str, int], second: tuple[str, int], best: int
) -> None:
    attempts = [attempt(*first), attempt(*second)]
    assert best_attempt(attempts) is attempts[best]
