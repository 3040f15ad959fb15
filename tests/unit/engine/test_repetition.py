"""A loop is detected early and its first copy kept; legitimate repetition is not a loop."""

from __future__ import annotations

import random
import time
import tracemalloc
from collections.abc import Iterable
from itertools import chain, count, cycle, islice

import numpy as np
import pytest

from ocrd.engine.repetition import RepetitionDetector, RepetitionLimits
from ocrd.engine.special_tokens import SpecialTokens

REF, REF_END, OPEN, CLOSE, TD, TD_END, NEWLINE = range(1, 8)
# Here and above are tokens of text.
WORDS = 1000
DEFAULT = RepetitionLimits()


def new_detector(
    exempt: frozenset[int] = frozenset({TD, TD_END}), limits: RepetitionLimits = DEFAULT
) -> RepetitionDetector:
    return RepetitionDetector(SpecialTokens(OPEN, CLOSE, REF, exempt), limits)


def verdict(
    tokens: Iterable[int], detector: RepetitionDetector | None = None
) -> tuple[int, int] | None:
    """How many tokens had been written when the loop was detected, and how many are kept."""
    detector = detector or new_detector()
    for seen, token in enumerate(tokens, start=1):
        if (kept := detector.push(token)) is not None:
            return seen, kept
    return None


def words(length: int, start: int = WORDS) -> list[int]:
    """Text in which no word occurs twice."""
    return list(range(start, start + length))


def prose(length: int, seed: int = 0) -> list[int]:
    """Text with common and rare words."""
    chance = random.Random(seed)
    return [WORDS + int(5000 * chance.random() ** 4) for _ in range(length)]


def det(chance: random.Random, shortest: int, *, longest: int) -> list[int]:
    inside = [chance.randrange(10, 900) for _ in range(chance.randint(shortest, longest) - 2)]
    return [OPEN, *inside, CLOSE]


def block(content: list[int], box: list[int]) -> list[int]:
    return [REF, 50, REF_END, *box, NEWLINE, *content, NEWLINE, NEWLINE]


BEGINNING = prose(300)


@pytest.mark.parametrize(
    ("unit", "after"),
    [
        (1, 120),
        (5, 120),
        (20, 120),
        (40, 120),
        (41, 123),
        (53, 159),
        (54, 160),
        (66, 160),
        (80, 160),
        (100, 200),
    ],
)
def test_a_loop_is_stopped_soon_and_its_first_copy_kept(unit: int, after: int) -> None:
    first_copy = len(BEGINNING) + unit
    assert verdict(chain(BEGINNING, islice(cycle(words(unit, 9000)), 500))) == (
        first_copy + after,
        first_copy,
    )


@pytest.mark.parametrize("unit", [101, 150, 333, 512])
def test_a_long_unit_is_stopped_when_its_third_copy_is_complete_and_not_earlier(
    unit: int,
) -> None:
    text = BEGINNING + words(unit, 9000) * 3
    assert verdict(text) == (len(text), len(BEGINNING) + unit)
    assert verdict(text[:-1]) is None


def test_a_unit_longer_than_the_limit_is_not_detected() -> None:
    assert verdict(words(513) * 5) is None


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("unit", [5, 20, 40, 66, 100])
def test_a_loop_whose_coordinates_change_is_stopped_as_soon(unit: int, seed: int) -> None:
    chance = random.Random(seed)
    longest = min(16, unit - 1)
    content = words(unit - longest, 9000)
    copies = [det(chance, 2, longest=longest) + content for _ in range(400)]
    seen, kept = verdict(chain(BEGINNING, *copies)) or (0, 0)
    assert kept == len(BEGINNING) + len(copies[0])
    assert 120 <= seen - kept <= 200


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("content", [0, 5, 30, 60])
def test_in_grounded_output_the_block_that_repeats_is_kept_whole(content: int, seed: int) -> None:
    chance = random.Random(seed)
    before = block(
        prose(40), det(chance, 8, longest=20)
    )  # ends as every block does: the repetition begins with its newlines
    copies = [block(words(content, 9000), det(chance, 8, longest=20)) for _ in range(30)]
    seen, kept = verdict(chain(before, *copies)) or (0, 0)
    assert kept == len(before) + len(copies[0])
    assert seen - kept <= 200


def test_where_several_blocks_repeat_together_all_of_them_are_kept_once() -> None:
    chance = random.Random(0)
    copies = [
        [
            *block(words(9, 9000), det(chance, 8, longest=20)),
            *block(words(14, 9500), det(chance, 8, longest=20)),
        ]
        for _ in range(9)
    ]
    seen, kept = verdict(chain(BEGINNING, *copies)) or (0, 0)
    assert kept == len(BEGINNING) + len(copies[0])
    assert seen - kept <= 200


def test_coordinates_alone_can_be_the_loop() -> None:
    chance = random.Random(0)
    dets = [det(chance, 8, longest=20) for _ in range(100)]
    seen, kept = verdict(chain(BEGINNING, *dets)) or (0, 0)
    assert kept == len(BEGINNING) + len(dets[0])
    assert 120 <= seen - kept < 140


def test_a_loop_inside_a_unit_is_found_with_its_own_short_period() -> None:
    unit = words(30) + [7000] * 130
    assert verdict(unit * 3) == (30 + 1 + 120, 30 + 1)


@pytest.mark.parametrize("unit", [1, 40, 79])
def test_too_little_repetition_is_not_a_loop(unit: int) -> None:
    column = list(islice(cycle(words(unit, 9000)), unit + 119))
    assert verdict(BEGINNING + column + prose(300, seed=1)) is None


@pytest.mark.parametrize("length", [40, 150, 600])
def test_a_paragraph_that_occurs_twice_is_not_a_loop(length: int) -> None:
    paragraph = words(length, 9000)
    assert verdict(BEGINNING + paragraph * 2 + prose(700, seed=1)) is None
    assert (
        verdict(
            BEGINNING + paragraph + prose(50, seed=2) + paragraph + prose(50, seed=3) + paragraph
        )
        is None
    )


def test_a_form_in_duplicate_is_not_a_loop() -> None:
    chance = random.Random(0)
    lines = [words(chance.randint(2, 9), 9000 + 10 * line) for line in range(20)]
    twice = [block(line, det(chance, 8, longest=20)) for line in lines + lines]
    assert verdict(chain(*twice, prose(700))) is None


@pytest.mark.parametrize("seed", range(3))
def test_ordinary_long_texts_are_not_loops(seed: int) -> None:
    chance = random.Random(seed)
    numbers = [
        [
            *chain(
                *(
                    [TD, *(chance.randrange(10, 20) for _ in range(chance.randint(1, 4))), TD_END]
                    for _ in range(5)
                )
            ),
            8,
        ]
        for _ in range(80)
    ]
    lines = [prose(12, seed=line) * chance.choice([1, 1, 1, 2]) for line in range(200)]
    labels = [
        block([*words(3), WORDS + 10 + label], det(chance, 8, longest=20)) for label in range(300)
    ]
    cells = [TD, 20, TD_END, NEWLINE] * 30
    assert verdict(chain(*lines)) is None
    assert verdict(chain(*numbers, cells, *numbers)) is None
    assert verdict(chain(*labels)) is None


def test_empty_cells_may_repeat_for_longer_but_not_for_ever() -> None:
    assert verdict(BEGINNING + [TD, TD_END] * 300 + prose(300, seed=1)) is None
    assert verdict(BEGINNING + [TD, TD_END] * 400) == (len(BEGINNING) + 2 + 600, len(BEGINNING) + 2)


def test_one_token_that_is_not_exempt_makes_the_usual_limits_apply() -> None:
    assert verdict([TD, TD_END, TD, TD_END, 9] * 100) == (125, 5)


def test_pictures_without_words_may_repeat_for_longer_if_their_tokens_are_exempt() -> None:
    chance = random.Random(0)
    sheet = [[REF, 50, REF_END, *det(chance, 8, longest=20), NEWLINE] for _ in range(24)]
    assert verdict(chain(*sheet)) is not None
    assert (
        verdict(chain(*sheet), new_detector(frozenset({REF, 50, REF_END, OPEN, NEWLINE}))) is None
    )


def test_coordinates_that_never_end_are_a_loop_and_their_beginning_is_kept() -> None:
    start = len(BEGINNING)
    assert verdict(chain(BEGINNING, [OPEN], count(10))) == (start + 301, start + 120)
    assert verdict([*BEGINNING, OPEN, *words(298), CLOSE, *prose(300, seed=1)]) is None


def test_inside_coordinates_nothing_is_compared() -> None:
    assert verdict([*BEGINNING, OPEN, *[10] * 290, CLOSE]) is None


@pytest.mark.parametrize("ids", [(None, None), (OPEN, None), (None, CLOSE)])
def test_without_both_det_tokens_coordinates_are_ordinary_tokens(
    ids: tuple[int | None, int | None],
) -> None:
    chance = random.Random(0)
    moving = [
        *chain(*([*words(5), *det(chance, 8, longest=20)] for _ in range(50))),
        OPEN,
        *words(500),
    ]
    assert verdict(moving, RepetitionDetector(SpecialTokens(*ids))) is None
    assert verdict([*words(5), OPEN, CLOSE] * 30, RepetitionDetector(SpecialTokens(*ids))) == (
        7 + 120,
        7,
    )


def test_a_closing_det_token_without_an_opening_one_is_an_ordinary_token() -> None:
    assert verdict([CLOSE, 10] * 100) == (122, 2)


@pytest.mark.parametrize(
    "before", [1, 2, 511, 512, 513, 903, 904, 1023, 1024, 1025, 2047, 2048, 5000]
)
def test_a_loop_is_detected_in_the_same_way_wherever_it_begins(before: int) -> None:
    chance = random.Random(0)
    loop = [*chain(*(block(words(20, 9000), det(chance, 8, longest=20)) for _ in range(30)))]
    seen, kept = verdict(loop) or (0, 0)
    assert verdict(prose(before) + loop) == (before + seen, before + kept)


def test_two_detectors_are_independent() -> None:
    one = new_detector()
    other = new_detector()
    answers = [(one.push(token), other.push(9)) for token in prose(200)]
    assert [first for first, _ in answers] == [None] * 200
    assert [second for _, second in answers] == [None] * 120 + [1] * 80


def test_token_ids_may_be_numpy_integers() -> None:
    loop = [*words(20), OPEN, 10, CLOSE] * 20
    assert verdict(np.array(loop)) == verdict(loop) == (23 + 120, 23)


def test_the_answer_stays_the_same_while_the_loop_continues() -> None:
    detector = new_detector()
    kept = [detector.push(token) for token in words(20) * 40]
    assert set(kept[139:]) == {20} and set(kept[:139]) == {None}


def test_a_token_costs_little_time_and_memory_however_long_the_text() -> None:
    text = prose(20_000)
    detector = new_detector()
    tracemalloc.start()
    verdict(text, detector)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held < 2 * 8 * len(text) + 50_000
    costs = []
    for start in range(0, 5000, 500):
        began = time.process_time()
        verdict(text[start : start + 500], detector)
        costs.append((time.process_time() - began) / 500)
    assert min(costs) < 100e-6  # 4 were measured
