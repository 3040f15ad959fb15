"""Numbers are shown with the unit that a person expects."""

from __future__ import annotations

import pytest

from ocrd.units import format_size


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1572, "1.57 kB"),
        (5_137_872, "5.14 MB"),
        (10_541_264, "10.5 MB"),
        (6_672_547_120, "6.67 GB"),
        (66_725_471_200, "66.7 GB"),
    ],
)
def test_a_size_is_shown_in_its_largest_unit(size: int, text: str) -> None:
    assert format_size(size) == text
