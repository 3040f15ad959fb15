"""The views agree with the published code's: 55 cases of sizes and modes."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ocrd.engine.preprocess import MODES, choose_mode, prepare
from ocrd.errors import UsageError

CASES = json.loads(
    (Path(__file__).parents[2] / "data/golden/preprocess.json").read_text(encoding="utf-8")
)["cases"]


@cache
def pattern(width: int, height: int) -> Image.Image:
    """The picture that the golden data was computed from."""
    x, y = np.meshgrid(np.arange(width, dtype=np.int64), np.arange(height, dtype=np.int64))
    channels = [(x * 7 + y * 13) // 16 % 256, (x * 3 + y * 5) // 9 % 256, ((x * x) // 97 + y) % 256]
    return Image.fromarray(np.stack(channels, axis=-1).astype(np.uint8))


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c['width']}x{c['height']}-{c['mode']}")
def test_views_agree_with_the_published_code(case: dict[str, Any]) -> None:
    views = prepare(pattern(case["width"], case["height"]), MODES[case["mode"]])
    assert list(views.grid) == case["tiles"]
    assert views.image_tokens == case["image_tokens"]
    pictures = [(views.global_view[0], case["global_view"])]
    assert (0 if views.tiles is None else len(views.tiles)) == len(case["local_views"])
    if views.tiles is not None:
        pictures += list(zip(views.tiles, case["local_views"], strict=True))
    for ours, golden in pictures:
        assert ours.shape == (3, golden["size"], golden["size"])
        for channel, y, x, value in golden["samples"]:
            assert float(ours[channel, y, x]) == pytest.approx(value, abs=0.02)


def test_all_golden_cases_are_here() -> None:
    assert len(CASES) == 55


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
def test_auto_looks_at_large_pictures_in_tiles_and_spends_little_on_small_ones(
    size: tuple[int, int], mode: str
) -> None:
    assert choose_mode("auto", 1024, size=size).name == mode


def test_auto_follows_the_size_that_the_model_was_trained_on() -> None:
    assert choose_mode("auto", 256, size=(3000, 2000)).view == 256


def test_an_unknown_mode_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match=r"'huge'.*tiny"):
        choose_mode("huge", 1024, size=(10, 10))
