"""The incremental detector reports what a rescan of the whole text at every token reports."""

from __future__ import annotations

from itertools import chain

from hypothesis import example, given
from hypothesis import strategies as st

from ocrd.engine.repetition import COORDINATES, RepetitionLimits
from tests.unit.engine.test_repetition import CLOSE, OPEN, REF, TD, new_detector, verdict


def slow_verdict(
    tokens: list[int], exempt: frozenset[int], *, limits: RepetitionLimits
) -> tuple[int, int] | None:
    """The rule, written the slow way: at every token all periods are compared from the end on."""
    symbols: list[int] = []
    starts: list[int] = []
    opened: int | None = None
    for at, token in enumerate(tokens):
        seen = at + 1
        if opened is not None and token != CLOSE:
            if seen - opened > limits.max_coordinates:
                return seen, opened + limits.kept_coordinates
            continue
        if opened is None and token == OPEN:
            opened = at
            continue
        symbols.append(token if opened is None else COORDINATES)
        starts.append(at if opened is None else opened)
        opened = None
        for period in range(1, min(limits.longest_unit, len(symbols) - 1) + 1):
            first = len(symbols)
            while first > period and symbols[first - 1] == symbols[first - 1 - period]:
                first -= 1
            run = len(symbols) - first
            if run < 2 * period:
                continue
            written = seen - starts[first]
            unit = symbols[first : first + period]
            if {OPEN if symbol == COORDINATES else symbol for symbol in unit} <= exempt:
                enough = written >= limits.min_exempt
            else:
                enough = written >= limits.min_after_two or (
                    written >= limits.min_after_three and run >= 3 * period
                )
            if enough:
                return seen, starts[first + (unit.index(REF) if REF in unit else 0)]
    return None


alphabet = st.sampled_from([REF, OPEN, CLOSE, OPEN, CLOSE, TD, 10, 11])
pieces = st.tuples(st.lists(alphabet, max_size=7), st.integers(1, 8)).map(
    lambda piece: piece[0] * piece[1]
)
small_limits = st.builds(
    lambda longest, thrice, more, exempt, det, det_kept: RepetitionLimits(
        longest, thrice, thrice + more, exempt, det, det_kept
    ),
    *(
        st.integers(1, 8),
        st.integers(0, 20),
        st.integers(0, 10),
        st.integers(20, 40),
        st.integers(1, 15),
    ),
    st.integers(1, 5),
)


@given(
    st.lists(pieces, max_size=6).map(lambda all_pieces: [*chain(*all_pieces)]),
    st.frozensets(st.sampled_from([TD, OPEN, REF, 10])),
    small_limits,
)
@example([REF, OPEN, 10, CLOSE] * 9, frozenset(), RepetitionLimits(8, 12, 16, 40, 15, 5))
def test_the_incremental_detector_reports_what_a_rescan_reports(
    tokens: list[int], exempt: frozenset[int], limits: RepetitionLimits
) -> None:
    assert verdict(tokens, new_detector(exempt, limits)) == slow_verdict(
        tokens, exempt, limits=limits
    )
