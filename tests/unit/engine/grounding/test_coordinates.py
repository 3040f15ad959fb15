"""Coordinates become boxes in pixels, whatever the model writes in their place."""

from __future__ import annotations

import pytest

from ocrd.engine.grounding.parse import parse_page
from ocrd.types import Box
from tests.unit.engine.grounding.outputs import DET, DET_END, REF, REF_END, SIZE, grounded


def box_of(coordinates: str, size: tuple[int, int] = SIZE) -> Box | None:
    [block] = parse_page(grounded("text", "x", box=coordinates), size).blocks
    return block.bbox


@pytest.mark.parametrize(("coordinates", "expected"), [
    ("[[52, 32, 940, 120]]", (104, 96, 1880, 360)),
    ("[[[52, 32, 940, 120]]]", (104, 96, 1880, 360)),
    ("52 32 940 120", (104, 96, 1880, 360)),
    ("[[940, 120, 52, 32]]", (104, 96, 1880, 360)),
    ("[[0, 0, 999, 999]]", (0, 0, 1998, 2997)),
    ("[[-5, +7, 1000, 99999]]", (0, 21, 1998, 2997)),
    ("[[500, 500, 500, 500]]", (1000, 1500, 1001, 1501)),
    ("[[999, 999, 999, 999]]", (1997, 2996, 1998, 2997)),
    ("[[0, 0, 0, 0]]", (0, 0, 1, 1)),
    ("[[10, 10, 20, 20], [30, 5, 40, 9]]", (20, 15, 80, 60)),
    ("[[10, 10, 20, 20],\n [30, 5, 40, 9]]", (20, 15, 80, 60)),
    ("[[10, 10, 20, 20], [30, 5]]", (20, 30, 40, 60)),
    ("[[0.1, 0.2, 0.3, 0.4], [10, 10, 20, 20]]", (20, 30, 40, 60)),
    ("[[1e999, NaN, -inf, null], [10, 10, 20, 20]]", (20, 30, 40, 60)),
    (f"[[{'0' * 9000}1, -{'9' * 9000}, {'9' * 9000}, {'1' * 9000}]]", (2, 0, 1998, 2997)),
    ("[[1, 2, 3]]", None),
    ("[[]]", None),
    ("", None),
])  # fmt: skip
def test_boxes_are_sorted_clamped_and_scaled_to_the_page(
    coordinates: str, expected: Box | None
) -> None:
    assert box_of(coordinates) == expected


def test_a_box_reaches_outwards_to_whole_pixels() -> None:
    assert box_of("[[100, 100, 334, 334]]", (100, 10)) == (10, 1, 34, 4)


def test_coordinates_are_never_executed(capsys: pytest.CaptureFixture[str]) -> None:
    page = parse_page(grounded("text", "x", box="[[print(1), 2, 3, 4]]"), SIZE)
    assert capsys.readouterr().out == "" and page.blocks[0].bbox is None


@pytest.mark.parametrize(("after_det", "text", "boxed"), [
    ("[[1, 2, 3, 4]]\n2024 was a year", "2024 was a year", True),
    ("[[1, 2, 3, 4]]\n[1] Smith, 2020", "[1] Smith, 2020", True),
    ("[[1, 2, 3, 4], [5, 6, 7, 8]]2nd edition", "2nd edition", True),
    ("[[1, 2, 3, 4\n2024 was a year", "2024 was a year", True),
    ("[[1, 2, 3, 4 2nd edition", "2nd edition", True),
    ("[[1, 2", "", False),
    ("5 apples", "5 apples", False),
    ("2024", "2024", False),
    (f"[[1, 2, 3, 4]]\nwords{DET_END}", "words", True),
    (f"words{DET_END}", "words", False),
])  # fmt: skip
def test_coordinates_that_are_never_closed_end_before_the_words(
    after_det: str, text: str, boxed: bool
) -> None:
    page = parse_page(f"{REF}text{REF_END}{DET}{after_det}", SIZE)
    assert page.text == text
    assert [block.bbox is not None for block in page.blocks] == ([boxed] if text else [])
