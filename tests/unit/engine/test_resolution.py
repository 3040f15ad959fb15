"""Which resolution mode a picture is read in."""

from __future__ import annotations

import pytest

from ocrd.engine.resolution import MODE_AFTER_LOOP, MODES, choose_mode, smaller_modes
from ocrd.errors import UsageError


@pytest.mark.parametrize(
    ("size", "mode"),
    [
        ((300, 200), "small"),
        ((512, 512), "small"),
        ((513, 300), "base"),  # small's square would shrink it
        ((500, 200), "base"),  # and would stretch this too much
        ((640, 640), "base"),
        ((641, 200), "gundam"),
        ((1654, 2339), "gundam"),
    ],
)
def test_auto_uses_tiles_for_large_pictures_and_a_small_view_for_small_ones(
    size: tuple[int, int], mode: str
) -> None:
    assert choose_mode("auto", 1024, size=size).name == mode


def test_auto_uses_the_size_on_which_the_model_was_trained() -> None:
    assert choose_mode("auto", 256, size=(3000, 2000)).view == 256


def test_an_unknown_mode_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match=r"'huge'.*tiny"):
        choose_mode("huge", 1024, size=(10, 10))


def test_after_a_loop_every_mode_has_another_one() -> None:
    assert MODE_AFTER_LOOP.keys() == MODES.keys()
    assert all(other in MODES and other != mode for mode, other in MODE_AFTER_LOOP.items())


def test_smaller_modes_have_smaller_views_or_no_tiles() -> None:
    assert smaller_modes("gundam") == ["base", "small", "tiny"]
    assert smaller_modes("large") == ["base", "small", "tiny"]
    assert smaller_modes("tiny") == smaller_modes("native") == []
